"""Checkpoints as files: one per key in a folder of one training, gone when its candidate is stored.

A file holds its own SHA-256; one that was damaged counts as absent, because training anew is always right.
"""

import re
import shutil
from hashlib import sha256
from pathlib import Path

import msgspec

from mlplatform.errors import StoreError
from mlplatform.stages.training.checkpoints import Checkpoint
from mlplatform.stores.files import write_atomically

_KEY = re.compile(r"[0-9a-f]{64}")
_DIGEST = 32


class FileCheckpoints:
    """Checkpoints of one training, below a folder of its own, which is made at the first `save`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.resumed_at = 0
        """Steps that the checkpoint loaded last had spared; 0: none was found."""

    def load(self, key: str) -> Checkpoint | None:
        """The checkpoint of this key; None if there is none or its file is damaged.

        Raises
        ------
        StoreError
            if the disk refuses to read it.
        """
        try:
            content = self._file(key).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._refused("read", error) from error
        body = content[_DIGEST:]
        if sha256(body).digest() != content[:_DIGEST]:
            return None
        try:
            found = msgspec.msgpack.decode(body, type=Checkpoint)
        except msgspec.DecodeError:  # of another version
            return None
        self.resumed_at = found.steps
        return found

    def save(self, key: str, checkpoint: Checkpoint) -> None:
        """Replace the key's file at once; StoreError if the disk refuses, with the file before it kept."""
        body = msgspec.msgpack.encode(checkpoint)
        write_atomically(self._file(key), sha256(body).digest() + body)

    def drop(self, key: str) -> None:
        """Remove the key's file, if there is one."""
        try:
            self._file(key).unlink(missing_ok=True)
        except OSError as error:
            raise self._refused("removed", error) from error

    def clear(self) -> None:
        """Remove every checkpoint of this training, those of earlier data and parameters among them."""
        try:
            shutil.rmtree(self._folder)
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._refused("removed", error) from error

    def _file(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise StoreError(
                f"got checkpoint key {key!r}; allowed: 64 hexadecimal digits in lower case.",
                hint="Make keys with mlplatform.stages.training.checkpoints.key_of.",
            )
        return self._folder / f"{key}.checkpoint"

    def _refused(self, what: str, error: OSError) -> StoreError:
        return StoreError(
            f"checkpoints in {self._folder} cannot be {what}: {error}.",
            hint="Check the permissions of the folder.",
        )
