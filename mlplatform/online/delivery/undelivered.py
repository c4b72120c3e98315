"""What could not be pushed: kept in a file before anything else is done with it, then told of on the bus.

Kept it is durable (stores/undelivered.py); a broker that is away is not waited for. It must not deliver.
"""

import logging
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

from mlplatform.crosscutting.bus import Bus, Envelope, envelope, open_bus
from mlplatform.crosscutting.bus.topics import WEBHOOK_UNDELIVERED, WebhookUndelivered
from mlplatform.crosscutting.clock import utc_now
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import MlplatformError
from mlplatform.online.delivery.outbox import Kept
from mlplatform.online.replies import sentence
from mlplatform.stores.undelivered import Letter, UndeliveredFiles

_LOG = logging.getLogger(__name__)
LARGEST_TOLD = 150_000
"""Characters of a body that go on the bus too, which takes them even if each is escaped; the file has all."""
_AWAY_SECONDS = 5.0
"""How long after a failure of the bus it is not asked again."""


class Undelivered:
    """Keeps letters in files of a folder, and publishes each on the topic `webhook-undelivered`.

    Parameters
    ----------
    open_bus : called when there is something to tell, in a thread; None: nothing is published.
    """

    def __init__(self, folder: Path, open_bus: Callable[[], Bus] | None = None) -> None:
        self.kept, self.told, self.untold, self.trouble = 0, 0, 0, ""
        self._files, self._open_bus = UndeliveredFiles(folder), open_bus
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
        self._files.keep(letters)
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
