"""What could not be pushed: kept in a file before anything else is done with it, and told of on the bus.

One JSON object a line below `<home>/undelivered`, a file a day, durable when `keep` returns. It must not try
to deliver.
"""

import fcntl
import logging
import os
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import IO, Any, Literal

import msgspec

from mlplatform.crosscutting.bus import Bus, Envelope, envelope, open_bus
from mlplatform.crosscutting.bus.topics import WEBHOOK_UNDELIVERED, WebhookUndelivered
from mlplatform.crosscutting.clock import utc_now
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import MlplatformError
from mlplatform.online.delivery.outbox import Kept
from mlplatform.online.replies import sentence
from mlplatform.stores.lake_connection import sync_path

_LOG = logging.getLogger(__name__)
LARGEST_TOLD = 150_000
"""Characters of a body that go on the bus too, which takes them even if each is escaped; the file has all."""
_AWAY_SECONDS = 5.0
"""How long after a failure of the bus it is not asked again."""


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


class Undelivered:
    """Keeps letters in files of a folder, and publishes each on the topic `webhook-undelivered`.

    Parameters
    ----------
    open_bus : called when there is something to tell, in a thread; None: nothing is published.
    """

    def __init__(self, folder: Path, open_bus: Callable[[], Bus] | None = None) -> None:
        self.kept, self.told, self.untold, self.trouble = 0, 0, 0, ""
        self._folder, self._open_bus = folder, open_bus
        self._bus: Bus | None = None
        self._away_until = 0.0
        self._teller = ThreadPoolExecutor(1, thread_name_prefix="undelivered")

    @classmethod
    def from_settings(cls, settings: Settings) -> "Undelivered":
        """The place of a deployment."""
        return cls(settings.home / "undelivered", lambda: open_bus(settings.broker_url))

    def keep(self, letters: Sequence[Letter]) -> None:
        """Keep messages; they are durable when this returns, and told of soon after.

        Raises
        ------
        OSError
            if the disk refuses.
        """
        for day, group in groupby(letters, key=lambda letter: f"{letter.given_up_at:%Y-%m-%d}"):
            self._write(self._folder / f"webhooks-{day}.jsonl", list(group))
        self.kept += len(letters)
        if self._open_bus is not None and letters:
            self._teller.submit(self._tell, self._open_bus, list(letters))

    def close(self) -> None:
        """Tell what is left, and let go of the bus."""
        self._teller.shutdown(wait=True)
        if self._bus is not None:
            self._bus.close()
            self._bus = None

    def status(self) -> dict[str, Any]:
        """What was kept, what was told of on the bus and what not, and why."""
        return {"kept": self.kept, "told": self.told, "untold": self.untold, "trouble": self.trouble}

    def _write(self, path: Path, letters: Sequence[Letter]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        fresh = not path.exists()
        # Each begins with a line's end, which keeps it apart from a line that a crash left unfinished.
        text = b"".join(b"\n%b\n" % msgspec.json.encode(letter) for letter in letters)
        with open(path, "ab", buffering=0, opener=_private) as file, _alone(file):
            written = 0
            while written < len(text):
                written += file.write(text[written:])
            os.fsync(file.fileno())
        if fresh:
            sync_path(self._folder)

    def _tell(self, open_bus: Callable[[], Bus], letters: Sequence[Letter]) -> None:
        if time.monotonic() < self._away_until:
            self.untold += len(letters)
            return
        try:
            self._bus = self._bus or open_bus()
            self._bus.publish_many(WEBHOOK_UNDELIVERED, [_message(letter) for letter in letters])
        except MlplatformError as error:
            self.untold, self.trouble = self.untold + len(letters), sentence(error)
            self._away_until = time.monotonic() + _AWAY_SECONDS
            _LOG.warning("undelivered messages are kept, but not told of: %s", self.trouble)
        else:
            self.told, self.trouble = self.told + len(letters), ""


def letter(kept: Kept, reason: str, attempts: int) -> Letter:
    """A message that is given up now."""
    text, encoding = _as_text(kept.body)
    return Letter(
        key=kept.key,
        id=kept.id,
        use_case=kept.use_case,
        url=kept.url,
        reason=reason[:1000],
        attempts=attempts,
        given_up_at=utc_now(),
        body=text,
        encoding=encoding,
        traceparent=kept.traceparent,
    )


def letters(folder: Path) -> Iterator[Letter]:
    """Everything kept in a folder, the oldest first; a line that a crash left unfinished is passed over."""
    for path in sorted(folder.glob("webhooks-*.jsonl")):
        for line in path.read_bytes().splitlines():
            try:
                yield msgspec.json.decode(line, type=Letter)
            except msgspec.DecodeError:
                if line:
                    _LOG.warning("%s has a line that is damaged", path)


def _message(letter: Letter) -> Envelope[WebhookUndelivered]:
    fits = len(letter.body) <= LARGEST_TOLD
    data = WebhookUndelivered(
        use_case=letter.use_case,
        message_id=letter.id,
        url=letter.url,
        reason=letter.reason,
        attempts=letter.attempts,
        original=letter.body if fits else "",
        encoding=letter.encoding,
        truncated=not fits,
    )
    return envelope(
        WEBHOOK_UNDELIVERED,
        data,
        id=letter.key,
        source="/webhooks",
        time=letter.given_up_at,
        traceparent=letter.traceparent,
    )


def _as_text(body: bytes) -> tuple[str, Literal["text", "base64"]]:
    try:
        return body.decode(), "text"
    except UnicodeDecodeError:
        return b64encode(body).decode(), "base64"


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
