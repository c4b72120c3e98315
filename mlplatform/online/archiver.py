"""The archiver: events of a use case's streams out of the bus into the Raw Data Store, each exactly once.

A batch is named by the bus positions of its first and last event, and all batches of one turn are committed
in one transaction. The manifests are all the state there is: whoever starts goes on behind the last archived
position, so a process killed at any moment loses nothing and doubles nothing.

Batches must never overlap, therefore only one archiver of a use case may run; it holds a lock file, which the
system lets go of when the process ends, however it ends.

A bus whose numbering began anew (its folder was emptied) is known by this: the event last archived is no
longer at its position, although the bus has events before or at it. A new epoch begins then, from the bus's
first event, and its number becomes part of the batches' names: nothing is lost. What a broker restored from
an old copy still holds is archived a second time in the new epoch, with the same event ids.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from mlplatform.crosscutting.bus import Bus, Received
from mlplatform.crosscutting.bus.topics import SOURCE_EVENT, SourceEvent
from mlplatform.crosscutting.clock import utc_now
from mlplatform.errors import BusError, StoreError
from mlplatform.online.archive_batch import Span, batch, is_text, lines, size
from mlplatform.online.lock_file import LockFile
from mlplatform.stores.raw import RawStore

_LOG = logging.getLogger(__name__)
_CHUNK = 512
"""Messages of one read, which bounds what a read of large events takes."""
_MOST_BYTES = 32 * 1024 * 1024
"""Documents' bytes after which a batch is written, however few events it has."""
_LOOK_SECONDS = 0.1
_LONGEST_PAUSE = 30.0


@dataclass
class _State:
    """Where the archiver stands in the bus; made out of the manifests."""

    epoch: int = 0
    archived: dict[str, int] = field(default_factory=dict)
    """Stream -> position of its last archived event."""
    anchor: tuple[int, str] = (0, "")
    """Position and id of a message known to be on the bus; another one there means another numbering."""
    after: int = 0
    """Everything up to this position is archived, or no event of ours."""


class Archiver:
    """Archives `streams` of `use_case`; `close` it. Not thread-safe; others may read what it shows.

    Parameters
    ----------
    bus, store : from where, and to where.
    lock : file to hold while this lives.
    most, seconds : a batch is written after so many events, or so long after its first one.

    Raises
    ------
    ServiceError
        if another archiver holds the lock.
    """

    def __init__(
        self,
        bus: Bus,
        store: RawStore,
        use_case: str,
        streams: Sequence[str],
        *,
        lock: Path,
        most: int = 10_000,
        seconds: float = 5.0,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.use_case, self.streams = use_case, tuple(streams)
        self.archived: dict[str, int] = {}
        """Stream -> position of its last archived event; empty before the first look at the manifests."""
        self.seen: dict[str, int] = {}
        """Stream -> position of its newest event that was seen on the bus."""
        self.rows, self.unreadable = 0, 0
        self.trouble, self.bus_away = "", False
        self._bus, self._store, self._clock = bus, store, clock
        self._most, self._seconds = most, seconds
        self._state: _State | None = None
        self._stop = threading.Event()
        self._lock = LockFile(lock, f"the archiver of {use_case}")

    def close(self) -> None:
        """Let another archiver of the use case begin."""
        self._lock.release()

    def poll(self) -> int:
        """Archive one batch of each stream that has new events; how many events that were.

        Raises
        ------
        BusError, StoreError
            if the bus or the store fails; whatever was or was not committed, the next call goes on rightly.
        """
        state = self._state = self._state or self._resumed()
        try:
            events, looked = self._gathered(state)
            if not self._same_numbering(state.anchor):
                self._begin_epoch(state)
                return self.poll()
            self._commit(state, events)
        except BaseException:
            self._state = None  # whether a commit that failed was made, the manifests know
            raise
        state.after, state.anchor = looked.after, max(state.anchor, looked.anchor)
        self.archived = dict(state.archived)
        return len(events)

    def run(self, stop: threading.Event) -> None:
        """Archive until `stop` is set; waits, ever longer, and tries again when bus or store fails."""
        self._stop, pause = stop, _LOOK_SECONDS
        while not stop.is_set():
            try:
                found = self.poll()
            except (BusError, StoreError) as error:
                self.trouble, self.bus_away = f"{error} {error.hint}".strip(), isinstance(error, BusError)
                _LOG.warning("%s is not archived for now: %s", self.use_case, self.trouble)
                stop.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                self.trouble, self.bus_away, pause = "", False, _LOOK_SECONDS
                if not found:
                    stop.wait(_LOOK_SECONDS)

    def _resumed(self) -> _State:
        """The state that the manifests of the newest epoch tell.

        A stream without a batch makes it begin at the bus's first message: it may have been declared later
        than its events came.
        """
        spans = [
            (span, manifest)
            for manifest in self._store.manifests(self.use_case)
            if manifest.data_set in self.streams and (span := Span.of(manifest.partition))
        ]
        state = _State(epoch=max((span.epoch for span, _ in spans), default=0))
        for span, manifest in spans:
            if span.epoch == state.epoch:
                name = manifest.data_set
                state.archived[name] = max(span.last, state.archived.get(name, 0))
                state.anchor = max(state.anchor, (span.last, manifest.message_id))
        state.after = min(state.archived.get(stream, 0) for stream in self.streams)
        return state

    def _gathered(self, state: _State) -> tuple[list[Received[SourceEvent]], _State]:
        """New events of ours, and how far was looked (`after` and `anchor`)."""
        found: list[Received[SourceEvent]] = []
        looked, taken, deadline = _State(after=state.after), 0, math.inf
        while len(found) < self._most and taken < _MOST_BYTES and time.monotonic() < deadline:
            read = self._read(looked, min(_CHUNK, self._most - len(found)))
            ours = [event for event in read if self._is_new(state, event)]
            if ours and not found:
                deadline = time.monotonic() + self._seconds
            found += ours
            taken += sum(map(size, ours))
            if self._stop.is_set() or (not read and (not found or self._stop.wait(_LOOK_SECONDS))):
                break
        return found, looked

    def _read(self, looked: _State, limit: int) -> list[Received[SourceEvent]]:
        def unreadable(sequence: int, error: BusError) -> None:
            looked.after = max(looked.after, sequence)
            self._skip(sequence, str(error))

        read = self._bus.read(SOURCE_EVENT, looked.after, limit, on_unreadable=unreadable)
        for event in read[-1:]:
            looked.after = max(looked.after, event.sequence)
            looked.anchor = (event.sequence, event.envelope.id)
        return read

    def _is_new(self, state: _State, event: Received[SourceEvent]) -> bool:
        data = event.envelope.data
        if data.use_case != self.use_case or data.stream not in self.streams:
            return False
        self.seen[data.stream] = event.sequence
        if event.sequence <= state.archived.get(data.stream, 0):
            return False
        if not is_text(event):
            self._skip(event.sequence, "Its document is not UTF-8.")
            return False
        return True

    def _skip(self, sequence: int, why: str) -> None:
        self.unreadable += 1
        _LOG.error("message %d of %s is not archived: %s", sequence, SOURCE_EVENT.name, why)

    def _commit(self, state: _State, events: Iterable[Received[SourceEvent]]) -> None:
        by_stream: dict[str, list[Received[SourceEvent]]] = {}
        for event in events:
            by_stream.setdefault(event.envelope.data.stream, []).append(event)
        now = self._clock()
        batches = [
            batch(stream, state.epoch, members, self._store.keep(lines(members)), now)
            for stream, members in by_stream.items()
        ]
        if batches:
            self._store.commit(self.use_case, batches)
        for stream, members in by_stream.items():
            state.archived[stream] = members[-1].sequence
            self.rows += len(members)

    def _same_numbering(self, anchor: tuple[int, str]) -> bool:
        """Whether the bus still counts as it did when `anchor` was archived.

        A message that is gone because it is old (the bus keeps them for days) has none before it either.
        """
        position, id = anchor
        if not position:
            return True
        there = _first(self._bus, position - 1)
        if there is not None and there.sequence == position:
            return there.envelope.id == id
        first = _first(self._bus, 0)
        return first is None or first.sequence > position

    def _begin_epoch(self, state: _State) -> None:
        _LOG.warning("the bus counts anew: %s is archived from its first event on", self.use_case)
        self._state = _State(epoch=state.epoch + 1)
        self.seen.clear()


def _first(bus: Bus, after: int) -> Received[SourceEvent] | None:
    found = bus.read(SOURCE_EVENT, after, 1, on_unreadable=lambda sequence, error: None)
    return found[0] if found else None
