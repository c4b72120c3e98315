"""What is accepted to be pushed, on the disk until it is settled, so that it outlives the process.

A file for each message, in a folder for each process; a process that starts takes over what ended ones left.
It survives the end of a process, however it ends, but not always a power cut, since whoever hands a message
over does not wait for the disk. It must not send anything.
"""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO
from uuid import uuid4

import msgspec

_LOG = logging.getLogger(__name__)
_LOCK = ".lock"


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A message that is to be pushed."""

    key: str
    """Names its file."""
    id: str
    use_case: str
    url: str
    body: bytes
    traceparent: str | None = None
    """Of the request that it is the answer to."""


class Outbox:
    """Messages of this process below a folder that several processes may share; `open` it first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own = folder / uuid4().hex
        self._lock: IO[bytes] | None = None

    def open(self) -> list[Kept]:
        """Begin; the messages that ended processes left, which are this one's now.

        Raises
        ------
        OSError
            if the folder cannot be written.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self._folder / f".{self._own.name}"  # not to be seen by others before it is locked
        draft.mkdir(mode=0o700)
        self._lock = _locked(draft)
        draft.rename(self._own)
        return [kept for folder in sorted(self._folder.iterdir()) for kept in self._left(folder)]

    def put(self, kept: Kept) -> None:
        """Keep a message; OSError if the disk refuses."""
        file = os.open(self._own / kept.key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            text, written = msgspec.json.encode(kept), 0
            while written < len(text):
                written += os.write(file, text[written:])
        finally:
            os.close(file)

    def settle(self, key: str) -> None:
        """It was delivered, or is kept as undelivered."""
        (self._own / key).unlink(missing_ok=True)

    def close(self) -> None:
        """Let go; what is not settled is for the next process."""
        if self._lock is None:
            return
        with suppress(FileNotFoundError):  # somebody removed it by hand
            if not any(path.name != _LOCK for path in self._own.iterdir()):
                _remove(self._own)
        self._lock.close()
        self._lock = None

    def _left(self, folder: Path) -> Iterator[Kept]:
        hidden = folder.name.startswith(".")
        lock = None if folder == self._own or hidden or not folder.is_dir() else _locked(folder)
        if lock is None:
            return
        with lock, suppress(FileNotFoundError):  # another process may just have taken it over
            for path in sorted(folder.iterdir()):
                if path.name != _LOCK and (kept := _read(path)) is not None:
                    path.rename(self._own / kept.key)
                    yield kept
            _remove(folder)


def _locked(folder: Path) -> IO[bytes] | None:
    """The lock of a folder; None if the process that has it lives. The system lets go when that ends."""
    try:
        file = (folder / _LOCK).open("ab")
    except OSError:  # another process has just removed it
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def _read(path: Path) -> Kept | None:
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=Kept)
    except (OSError, ValueError):  # a process that ended while it wrote had not accepted the message yet
        _LOG.warning("%s is no whole message and is passed over", path)
        return None
    return kept if kept.key == path.name else None


def _remove(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink(missing_ok=True)
    folder.rmdir()
