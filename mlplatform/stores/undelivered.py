"""Messages that could not be pushed, in files, and which of them were sent again since. It must not send.

One JSON object a line below `<home>/undelivered`: `webhooks-<day>.jsonl` holds the messages, `resent.jsonl`
what became of them. Every line is durable when the call that wrote it returns.
"""

import fcntl
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import IO, Literal, TypeVar

import msgspec

from mlplatform.crosscutting.settings import Settings
from mlplatform.stores.lake_connection import sync_path

T = TypeVar("T")

_LOG = logging.getLogger(__name__)
_RESENT = "resent.jsonl"


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """One message that was given up."""

    key: str
    """Names this one push; the id of its message on the bus."""
    id: str
    """The message's own, `webhook-id`."""
    use_case: str
    url: str
    reason: str
    attempts: int
    given_up_at: datetime
    body: str
    traceparent: str | None = None
    """Of the request that it is the answer to."""
    encoding: Literal["text", "base64"]
    """`text`, or `base64` where the body is no UTF-8."""


class Resent(msgspec.Struct, frozen=True, kw_only=True):
    """A letter that its receiver has now."""

    key: str
    """Of the letter."""
    at: datetime
    who: str


class UndeliveredFiles:
    """The letters of a folder, which several processes may share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def from_settings(cls, settings: Settings) -> "UndeliveredFiles":
        """Those of a deployment."""
        return cls(settings.home / "undelivered")

    def keep(self, letters: Sequence[Letter]) -> None:
        """Keep messages; OSError if the disk refuses."""
        for day, group in groupby(letters, key=lambda letter: f"{letter.given_up_at:%Y-%m-%d}"):
            self._append(f"webhooks-{day}.jsonl", list(group))

    def resent(self, notes: Sequence[Resent]) -> None:
        """Their receivers have them now; OSError if the disk refuses."""
        self._append(_RESENT, notes)

    def letters(self) -> Iterator[Letter]:
        """Everything kept, the oldest first; a line that a crash left unfinished is passed over."""
        for path in sorted(self._folder.glob("webhooks-*.jsonl")):
            yield from _lines(path, Letter)

    def notes(self) -> dict[str, Resent]:
        """By key of the letter, the newest note that its receiver has it."""
        return {note.key: note for note in _lines(self._folder / _RESENT, Resent)}

    def waiting(self) -> list[Letter]:
        """Letters that their receiver does not have, the oldest first."""
        notes = self.notes()
        return [letter for letter in self.letters() if letter.key not in notes]

    def _append(self, name: str, lines: Sequence[msgspec.Struct]) -> None:
        path = self._folder / name
        self._folder.mkdir(parents=True, exist_ok=True)
        fresh = not path.exists()
        # Each begins with a line's end, which keeps it apart from a line that a crash left unfinished.
        text = b"".join(b"\n%b\n" % msgspec.json.encode(line) for line in lines)
        with open(path, "ab", buffering=0, opener=_private) as file, _alone(file):
            written = 0
            while written < len(text):
                written += file.write(text[written:])
            os.fsync(file.fileno())
        if fresh:
            sync_path(self._folder)


def _lines(path: Path, kind: type[T]) -> Iterator[T]:
    if not path.exists():
        return
    for line in path.read_bytes().splitlines():
        try:
            yield msgspec.json.decode(line, type=kind)
        except msgspec.DecodeError:
            if line:
                _LOG.warning("%s has a line that is damaged", path)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)  # bodies and URLs are nobody else's business


@contextmanager
def _alone(file: IO[bytes]) -> Iterator[None]:
    """Lines of several processes must not mix; the system lets go of the lock when a process ends."""
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)
