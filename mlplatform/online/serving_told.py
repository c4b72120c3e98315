"""Tells the bus of answers that are in the lake now: one message `scores-served` for each partition written.

`tell` counts and returns; a thread of its own publishes, so that a broker that is away holds up neither an
answer nor the log. What waits for the broker is bounded, and nothing depends on it: the lake has the answers,
and who must miss none counts them there. It must not read or write the lake.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

from mlplatform.crosscutting.bus import Bus, Envelope, envelope, event_id, open_bus
from mlplatform.crosscutting.bus.topics import SCORES_SERVED, ScoresServed
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import MlplatformError
from mlplatform.online.replies import sentence
from mlplatform.stores.lake import Write
from mlplatform.stores.lake_sql import KEY

_LOG = logging.getLogger(__name__)
MOST = 1_000
"""Messages that wait for the broker; the oldest are dropped beyond. One a use case in some seconds."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0


class ServingTold:
    """Publishes between `start` and `close`.

    Parameters
    ----------
    open_bus : called when there is something to tell, in a thread.
    most : messages kept while no broker answers.
    """

    def __init__(self, open_bus: Callable[[], Bus], *, most: int = MOST) -> None:
        self.published, self.dropped, self.trouble = 0, 0, ""
        self._open_bus, self._most = open_bus, most
        self._bus: Bus | None = None
        self._waiting: deque[Envelope[ScoresServed]] = deque()
        self._lock = threading.Lock()
        self._due, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="serving-told", daemon=True)

    @classmethod
    def from_settings(cls, settings: Settings) -> "ServingTold":
        """Over the broker of a deployment."""
        return cls(lambda: open_bus(settings.broker_url))

    def tell(self, writes: Sequence[Write], lost: int) -> None:
        """These are committed, and so many answers are lost by now; called by one thread, never waits."""
        messages = [message(write, lost) for write in writes]
        with self._lock:
            self._waiting.extend(messages)
            while len(self._waiting) > self._most:
                self._waiting.popleft()
                self.dropped += 1
        self._due.set()

    def start(self) -> None:
        """Publish in a thread until `close`."""
        self._thread.start()

    def close(self, seconds: float = 2.0) -> None:
        """Publish what waits if a broker answers at once, and let go of it."""
        self._stop.set()
        self._due.set()
        if self._thread.is_alive():
            self._thread.join(timeout=seconds)

    def status(self) -> dict[str, Any]:
        """What was published, waits and was dropped, and why it waits."""
        waiting = len(self._waiting)
        told = {"published": self.published, "waiting": waiting, "dropped": self.dropped}
        return {**told, "trouble": self.trouble}

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stop.is_set():
            self._due.wait()
            self._due.clear()
            while self._waiting and not self._publish():
                if self._stop.wait(pause):
                    break
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                pause = _FIRST_PAUSE
        if self._waiting and not self.trouble:
            self._publish()
        if self._bus is not None:
            self._bus.close()

    def _publish(self) -> bool:
        """Publish what waits; whether the broker took it. Sent again after an error each counts once."""
        with self._lock:
            messages = list(self._waiting)
        try:
            self._bus = self._bus or self._open_bus()
            self._bus.publish_many(SCORES_SERVED, messages)
        except MlplatformError as error:
            if not self.trouble:
                _LOG.warning("answers are logged, but not told of: %s", sentence(error))
            self.trouble = sentence(error)
            return False
        self.trouble = ""
        self.published += len(messages)
        sent = {each.id for each in messages}
        with self._lock:  # meanwhile the oldest may have been dropped, and others added
            while self._waiting and self._waiting[0].id in sent:
                self._waiting.popleft()
        return True


def message(write: Write, lost: int) -> Envelope[ScoresServed]:
    """What is said of one partition of answers; its id follows from the partition."""
    use_case, frame = write.table.schema, write.frame
    partition = str(frame[KEY][0])
    counts = frame["version"].value_counts().sort("version").iter_rows()
    as_of = frame.select(first=pl.col("as_of").min(), last=pl.col("as_of").max()).row(0)
    data = ScoresServed(
        use_case=use_case,
        partition=partition,
        rows=frame.height,
        versions={str(version): count for version, count in counts},
        first_as_of=as_of[0],
        last_as_of=as_of[1],
        lost=lost,
    )
    id = event_id(SCORES_SERVED.name, use_case, partition)
    return envelope(SCORES_SERVED, data, id=id, source=f"mlplatform/{use_case}", subject=partition)
