"""Keeps features up to date with the stream: follows the bus and applies each event within a millisecond.

A target (one memory of features) begins with the lake's rows, takes the archived events, then the bus behind
them. An event may reach a target twice, which its features ignore, but never not at all. It must not answer
questions, nor hold a lock while features are asked.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mlplatform.crosscutting.bus import Bus, Received
from mlplatform.crosscutting.bus.topics import SOURCE_EVENT, SourceEvent
from mlplatform.crosscutting.clock import utc_now
from mlplatform.errors import BusError, FeatureError, MlplatformError
from mlplatform.online.event_rows import EventRows, Reach, microseconds
from mlplatform.stages.preparation.online import OnlineFeatures
from mlplatform.stores.entities import Entities
from mlplatform.stores.online import OnlineStore

_LOG = logging.getLogger(__name__)
_BATCH = 512
_WAIT_SECONDS = 0.5
_LONGEST_PAUSE = 5.0
AHEAD = timedelta(days=1)
"""An event whose time is later than this says nothing of what time it is."""


@dataclass(eq=False)
class Target:
    """One memory of features that events of a use case's streams are applied to."""

    use_case: str
    features: OnlineFeatures | OnlineStore
    rows: EventRows
    position: int = 0
    """Of the bus: everything up to it was applied."""
    anchor: tuple[int, str] = (0, "")
    """Position and id of a message it knows; another one there means that the bus counts anew."""
    newest_us: int = 0
    """Time of the newest event, the stream's own clock."""
    applied: int = 0
    unreadable: int = 0
    trouble: str = ""
    clock: Callable[[], datetime] = field(default=utc_now, repr=False)
    entities: Entities | None = None
    """Told of every row too, where questions may name their entity only."""
    reach: Reach | None = None
    """Rows out of it say nothing to any question; None: there is no such row."""

    def apply(self, stream: str, document: bytes, time: datetime) -> None:
        """Take one event; one that cannot be read is counted, logged and left out."""
        try:
            found = self.rows.read(stream, document)
            if found is not None:
                if self.reach is None or self.reach.has(*found):
                    self.features.event(*found)
                if self.entities is not None:
                    self.entities.take(*found)
                self.applied += 1
                if time <= self.clock() + AHEAD:
                    self.newest_us = max(self.newest_us, microseconds(time) or 0)
        except FeatureError as error:
            self.unreadable += 1
            self.trouble = str(error)
            _LOG.warning("%s: an event is left out: %s", self.use_case, error)

    def take(self, received: Received[SourceEvent]) -> None:
        """Take a message of the bus, if it is this use case's and new."""
        if received.sequence <= self.position:
            return
        message = received.envelope
        if message.data.use_case == self.use_case:
            self.apply(message.data.stream, bytes(message.data.document), message.time)
        self.position, self.anchor = received.sequence, (received.sequence, message.id)


class Follower:
    """Follows the bus for all its targets in one thread of its own.

    Parameters
    ----------
    open_bus : gives the bus; asked again when no broker answered.
    """

    def __init__(self, open_bus: Callable[[], Bus]) -> None:
        self.trouble = ""
        self.end = 0
        """Newest position of the topic, as asked last."""
        self._open_bus = open_bus
        self._lock = threading.Lock()
        self._targets: tuple[Target, ...] = ()
        self._followed: tuple[Target, ...] = ()
        """Those from whose positions on the bus is read now; another one would miss what lies before."""
        self._reopen = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._bus: Bus | None = None

    def join(self, target: Target, *, patience: float = 10.0) -> bool:
        """Follow for `target` from its position on; whether it has caught up.

        Waits as long as the target gets ahead, and `patience` seconds where it does not. Without a broker it
        returns at once, and the target catches up when there is one.
        """
        with self._lock:
            self._targets = (*self._targets, target)
        self._reopen.set()
        if self._thread is None:
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
            self._thread.start()
        position, deadline = target.position, time.monotonic() + patience
        while target not in self._followed or target.position < self.end:
            if target.position != position:
                position, deadline = target.position, time.monotonic() + patience
            if self.trouble or time.monotonic() >= deadline or self._stop.is_set():
                return False
            time.sleep(0.005)
        return True

    def retain(self, features: Iterable[OnlineFeatures | OnlineStore]) -> None:
        """Forget the targets of all other features."""
        kept = {id(each) for each in features}
        with self._lock:
            self._targets = tuple(target for target in self._targets if id(target.features) in kept)

    def target_of(self, features: OnlineFeatures | OnlineStore) -> Target | None:
        """The target of these features."""
        return next((target for target in self._targets if target.features is features), None)

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5.0)
            self._thread = None

    def _run(self) -> None:
        pause = 0.1
        while not self._stop.is_set():
            try:
                with closing(self._open_bus()) as bus:
                    pause = 0.1
                    while not self._stop.is_set():
                        self._follow(bus)
            except MlplatformError as error:
                said = f"{error} {error.hint}".strip()
                if said != self.trouble:
                    _LOG.warning("the stream is not followed for now: %s", said)
                self.trouble = said
                self._stop.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)

    def _follow(self, bus: Bus) -> None:
        """Follow from where the target furthest behind is, until one joins or the broker goes away."""
        self._reopen.clear()  # before the targets are read: one that joins from here on is seen next time
        with self._lock:
            targets = self._targets
        for target in targets:
            if not counts_on(bus, target.anchor):
                _LOG.warning("the bus counts anew: %s is followed from its first event", target.use_case)
                target.position, target.anchor = 0, (0, "")
        self.end = bus.last(SOURCE_EVENT)
        after = min((target.position for target in targets), default=self.end)
        with closing(bus.follow(SOURCE_EVENT, after)) as following:
            self._followed, asked = targets, time.monotonic()
            while not (self._stop.is_set() or self._reopen.is_set()):
                received = following.fetch(_BATCH, _WAIT_SECONDS, on_unreadable=_skip)
                self.trouble = ""
                self._apply(received)
                if time.monotonic() - asked > 1.0:
                    self.end, asked = bus.last(SOURCE_EVENT), time.monotonic()

    def _apply(self, received: list[Received[SourceEvent]]) -> None:
        present = self._targets
        self._followed = tuple(target for target in self._followed if target in present)
        # The one that joined last comes first: it takes the place of another, and must not know less.
        for target in reversed(self._followed):
            for each in received:
                target.take(each)
            if received:
                target.features.advance(target.newest_us)
        if received:
            self.end = max(self.end, received[-1].sequence)


def counts_on(bus: Bus, anchor: tuple[int, str]) -> bool:
    """Whether the bus still counts as it did when the message `anchor` (position, id) was seen.

    A message that is gone because it is old has none before it either.
    """
    position, id = anchor
    if not position:
        return True
    there = bus.read(SOURCE_EVENT, position - 1, 1, on_unreadable=_skip)
    if there and there[0].sequence == position:
        return there[0].envelope.id == id
    first = bus.read(SOURCE_EVENT, 0, 1, on_unreadable=_skip)
    return bool(first) and first[0].sequence > position


def _skip(sequence: int, error: BusError) -> None:
    _LOG.error("message %d of %s is left out: %s", sequence, SOURCE_EVENT.name, error)
