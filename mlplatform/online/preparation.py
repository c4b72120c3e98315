"""The Online Data Preparation Service of one use case: follows its streams, answers every question they ask.

A question's features are computed once the stream's own clock (the newest event's time; replays are of the
past) has passed its time, and stored in the lake with the position, in one transaction. Whoever starts goes
on from there: no question is left out, none is there twice. It must not know HTTP, nor score.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from mlplatform.crosscutting.bus import Bus, Following
from mlplatform.crosscutting.bus.contract import partition_of
from mlplatform.crosscutting.bus.topics import SOURCE_EVENT, SourceEvent
from mlplatform.crosscutting.clock import utc_now
from mlplatform.errors import BusError, FeatureError, StoreError
from mlplatform.online.archived import Archived, archived
from mlplatform.online.event_rows import EventRows, Reach, microseconds, schemas
from mlplatform.online.follower import AHEAD, counts_on
from mlplatform.online.lock_file import LockFile
from mlplatform.online.prepared_store import PreparedStore, State
from mlplatform.online.questions import Asker, Pending, Question, key_partitions
from mlplatform.online.recovery import first_event_us, horizon
from mlplatform.online.streams import Streams
from mlplatform.stages.preparation.online import OnlineFeatures
from mlplatform.stores.lake import Lake
from mlplatform.stores.online import OnlineStore
from mlplatform.stores.warmup import QUESTIONS, warm_at

_LOG = logging.getLogger(__name__)
_BATCH = 512
_JUMP_US = 86_400_000_000
"""A stream that skips more than this has left out what the lake may know: the memory is made anew."""
_IDLE_SECONDS = 30.0
"""The position is committed this often when nothing is answered."""
_LONGEST_PAUSE = 10.0


class Preparation:
    """Prepares one use case; `close` it. Not thread-safe; others may read what it shows.

    Parameters
    ----------
    locks : folder of the lock files, one per partition of the keys.
    partition, of : of `of` processes this is number `partition`; it answers the questions of its keys only.
    shared : the online store of several machines, which is told every event too.
    most, seconds : answers are committed after so many, or so long after the first one.

    Raises
    ------
    ConfigurationError, ServiceError
        if there is no such share of the work, or another process has it already.
    """

    def __init__(
        self,
        bus: Bus,
        lake: Lake,
        streams: Streams,
        *,
        locks: Path,
        partition: int = 0,
        of: int = 1,
        shared: OnlineStore | None = None,
        most: int = 2_000,
        seconds: float = 1.0,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.use_case, self.share = streams.use_case, f"{partition}of{of}"
        self.position, self.clock_us, self.rows = 0, 0, 0
        self.unreadable, self.refused, self.trouble = 0, 0, "It has not begun yet."
        self._bus, self._lake, self._streams, self._now = bus, lake, streams, clock
        self._feature_set = streams.features()
        self._asker = Asker(self._feature_set, next(iter(streams.streams.values())).day_zone)
        self._owned = key_partitions(partition, of)
        about = self._feature_set, self._asker, self._owned, self.share
        self._store = PreparedStore(lake, self.use_case, *about)
        self._most, self._seconds, self._shared = most, seconds, shared
        self._following: Following[SourceEvent] | None = None
        self._pending = Pending(self._owned)
        self._locks = ExitStack()
        for number in self._owned:
            path = locks / f".preparation-{self.use_case}-p{number}.lock"
            self._locks.callback(LockFile(path, f"the preparation of {self.use_case}").release)

    @property
    def pending(self) -> int:
        """Questions asked and not answered yet."""
        return len(self._pending.waiting)

    @property
    def keys(self) -> int:
        """Keys whose events are in memory."""
        return self._features.keys if self._following is not None else 0

    def close(self) -> None:
        """Let another process have this share."""
        self._forget()
        self._locks.close()

    def run(self, stop: threading.Event) -> None:
        """Prepare until `stop` is set; waits, ever longer, and begins again when bus or lake fails."""
        pause = 0.1
        while not stop.is_set():
            try:
                self.poll(0.2)
                pause = 0.1
                if self._following is None:
                    stop.wait(1.0)  # there is no event yet
            except (BusError, StoreError) as error:
                before, self.trouble = self.trouble, f"{error} {error.hint}".strip()
                if before != self.trouble:
                    _LOG.warning("%s is not prepared for now: %s", self.use_case, self.trouble)
                stop.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
        if self._following is not None:
            self._commit()

    def poll(self, wait: float = 0.0) -> int:
        """Take what the bus has, and commit what is due; the number of messages.

        Raises BusError or StoreError if bus or lake fails; the next call begins from what was committed.
        """
        try:
            if self._following is None and not self._recover(0):
                self.trouble = ""
                return 0
            return self._step(wait)
        except BaseException:
            self._forget()  # whether a commit that failed was made, the lake knows
            raise

    def _step(self, wait: float) -> int:
        assert self._following is not None
        received = self._following.fetch(_BATCH, wait, on_unreadable=self._skip)
        self.trouble = ""
        for each in received:
            message = each.envelope
            if message.data.use_case == self.use_case:
                document = bytes(message.data.document)
                if self._take(each.sequence, message.data.stream, message.time, document):
                    return len(received)  # it began anew
            self._passed(each.sequence, message.id)
        self._features.advance(self.clock_us)
        if self._shared is not None:
            self._shared.advance(self.clock_us)
        waited = time.monotonic() - self._since
        if len(self._answers) >= self._most or waited >= (self._seconds if self._answers else _IDLE_SECONDS):
            self._commit()
        return len(received)

    def _recover(self, clock_us: int) -> bool:
        """Begin from what was committed, at `clock_us` or later; False if there is no event yet."""
        pending = Pending(self._owned)
        state = self._store.load(pending)
        if not counts_on(self._bus, state.anchor):
            _LOG.warning("the bus counts anew: %s is prepared from its first event on", self.use_case)
            state = State(state.epoch + 1, dict.fromkeys(self._owned, 0), (0, ""), state.clock_us)
        clock = max(clock_us, state.clock_us)
        names = sorted(self._streams.streams)
        since = horizon(self._feature_set, clock)
        found = archived(self._lake, self.use_case, names, since)
        clock = clock or first_event_us(self._bus, self.use_case, found)
        if not clock:
            return False
        columns = schemas(self._lake, self.use_case, self._feature_set)
        self._rows_of = EventRows(self._streams, self._feature_set, columns)
        self._reach = Reach(self._feature_set, clock - QUESTIONS // timedelta(microseconds=1))
        self._features: OnlineFeatures = warm_at(self._lake, self.use_case, self._feature_set, clock)
        self._state, self._pending, self.clock_us = state, pending, clock
        self._begun, self.position = dict(state.positions), state.position
        self._answers: list[tuple[Question, list[Any]]] = []
        self._since = time.monotonic()
        self._following = self._bus.follow(SOURCE_EVENT, self._archive(found))
        return True

    def _archive(self, found: Archived) -> int:
        """Take the archived events; the position on the bus that they reach to."""
        counts = counts_on(self._bus, found.anchor)
        for event in found.events():
            position = event.position if counts and event.epoch == found.epoch else 0
            if position <= found.position:
                self._take(position, event.stream, event.time, event.document, jumps=False)
                self._passed(position, event.id)
        return found.position if counts else 0

    def _take(self, position: int, stream: str, at: datetime, document: bytes, *, jumps: bool = True) -> bool:
        """Take one event; whether the memory had to be made anew for it, and it comes again."""
        try:
            found = self._rows_of.read(stream, document)
            if found is None:
                return False
            moment = microseconds(at) or 0
            if moment > self.clock_us and at <= self._now() + AHEAD:
                if jumps and moment > self.clock_us + _JUMP_US:
                    self._jump(moment)
                    return True
                self.clock_us = moment
                self._answer(position)
            if self._reach.has(*found):
                self._features.event(*found)
            if self._shared is not None:
                self._shared.event(*found)
        except FeatureError as error:
            self.unreadable += 1
            _LOG.warning("%s: event %d is left out: %s", self.use_case, position, error)
            return False
        question = self._asker.question(*found, position)
        if question is not None and position > self._begun.get(partition_of(question.key), position):
            self._pending.ask(question, self.clock_us)
            self._answer(position)
        return False

    def _answer(self, position: int) -> None:
        """Answer what is due, unless the stream is only taken up to where it was left."""
        if position <= min(self._begun.values()):
            return
        for question in self._pending.due(self.clock_us):
            if not self._answers:
                self._since = time.monotonic()
            try:
                self._answers.append((question, self._features.vector(question.facts)))
            except FeatureError as error:
                self.refused += 1
                _LOG.warning("%s: question %s is refused: %s", self.use_case, question.key, error)

    def _jump(self, moment: int) -> None:
        """Answer what the present memory can, and begin from the lake as it was at that moment."""
        self.clock_us = moment
        self._answer(self.position + 1)
        self._commit()
        self._forget()
        self._recover(moment)

    def _passed(self, position: int, id: str) -> None:
        if position > self.position:
            self.position, self._anchor = position, (position, id)

    def _commit(self) -> None:
        self._since = time.monotonic()
        first = self._state.position + 1
        if self.position < first:
            return
        self._state.advance(self._anchor, self.clock_us)
        self._store.commit(self._state, first, self._answers, self._pending)
        self.rows += len(self._answers)
        self.refused += self._pending.refused
        self._pending.refused = 0
        self._answers = []
        self._pending.forget(self.clock_us)

    def _forget(self) -> None:
        following, self._following = self._following, None
        if following is not None:
            following.close()

    def _skip(self, sequence: int, error: BusError) -> None:
        self.unreadable += 1
        _LOG.error("message %d of %s is left out: %s", sequence, SOURCE_EVENT.name, error)
