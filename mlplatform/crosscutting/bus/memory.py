"""A bus in this process's memory, for tests and for trying things out.

It keeps encoded bytes, so that it refuses what a broker would; it must not be shared between processes.
"""

import time
from bisect import bisect_right
from collections.abc import Sequence
from itertools import islice
from threading import Condition
from typing import Generic

from mlplatform.crosscutting.bus.codec import check_reader, collect, encode, sift
from mlplatform.crosscutting.bus.contract import (
    BusClosed,
    D,
    Envelope,
    Received,
    Refuse,
    Topic,
    Unreadable,
    partition_of,
    repeat_id,
)
from mlplatform.crosscutting.bus.held import Held, Stored

Reader = tuple[str, str, int | None]


class _Log:
    """Messages of one topic, in order."""

    def __init__(self) -> None:
        self.sequences: list[int] = []
        self.payloads: list[tuple[int, bytes]] = []
        self.ids: dict[str, int] = {}


class MemoryBus:
    """Bus whose messages live as long as the object; may be used from many threads."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._logs: dict[str, _Log] = {}
        self._newest = 0
        self._positions: dict[Reader, int] = {}
        self._closed = False

    def publish(self, topic: Topic[D], message: Envelope[D], *, again: str = "") -> int:
        """See `Bus.publish`."""
        payload = encode(topic, message)
        with self._changed:
            sequence = self._store(self._log(topic.name), message, payload, again)
            self._changed.notify_all()
        return sequence

    def publish_many(self, topic: Topic[D], messages: Sequence[Envelope[D]]) -> list[int]:
        """See `Bus.publish_many`."""
        encoded = [(message, encode(topic, message)) for message in messages]
        with self._changed:
            log = self._log(topic.name)
            found = [self._store(log, message, payload) for message, payload in encoded]
            self._changed.notify_all()
        return found

    def subscribe(
        self, topic: Topic[D], name: str, *, partition: int | None = None, ack_wait: float = 30.0
    ) -> "MemorySubscription[D]":
        """See `Bus.subscribe`."""
        check_reader(name, partition)
        return MemorySubscription(self, topic, (topic.name, name, partition), ack_wait)

    def read(
        self, topic: Topic[D], after: int, limit: int, *, on_unreadable: Unreadable | None = None
    ) -> list[Received[D]]:
        """See `Bus.read`."""
        return collect(topic, self.stored(topic.name, after, None, limit), limit, on_unreadable)

    def follow(self, topic: Topic[D], after: int) -> "MemoryFollowing[D]":
        """See `Bus.follow`."""
        return MemoryFollowing(self, topic, after)

    def last(self, topic: Topic[D]) -> int:
        """See `Bus.last`."""
        with self._changed:
            sequences = self._log(topic.name).sequences
            return sequences[-1] if sequences else 0

    def close(self) -> None:
        """See `Bus.close`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def stored(
        self, topic: str, after: int, partition: int | None, limit: int, wait: float = 0.0
    ) -> list[Stored]:
        """What is stored behind a position; waits for the first message if there is none."""
        deadline = time.monotonic() + wait
        with self._changed:
            while not (found := self._behind(topic, after, partition, limit)):
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    return []
        return found

    def position(self, reader: Reader) -> int:
        """The last message before the first one that this reader has not acknowledged."""
        with self._changed:
            return self._positions.get(reader, 0)

    def move(self, reader: Reader, position: int) -> None:
        """Remember a reader's position."""
        with self._changed:
            self._log(reader[0])
            self._positions[reader] = position

    def _behind(self, topic: str, after: int, partition: int | None, limit: int) -> list[Stored]:
        log = self._log(topic)
        first = bisect_right(log.sequences, after)
        behind = zip(islice(log.sequences, first, None), islice(log.payloads, first, None), strict=True)
        mine = ((number, payload) for number, (of, payload) in behind if partition in (None, of))
        return list(islice(mine, limit))

    def _store(self, log: _Log, message: Envelope[D], payload: bytes, again: str = "") -> int:
        id = repeat_id(message.id, again)
        if id not in log.ids:
            self._newest += 1
            log.ids[id] = self._newest
            log.sequences.append(self._newest)
            log.payloads.append((partition_of(message.partitionkey), payload))
        return log.ids[id]

    def _log(self, topic: str) -> _Log:
        if self._closed:
            raise BusClosed
        return self._logs.setdefault(topic, _Log())


class MemorySubscription(Generic[D]):
    """See `Subscription`."""

    def __init__(self, bus: MemoryBus, topic: Topic[D], reader: Reader, ack_wait: float) -> None:
        self._bus, self._topic, self._reader = bus, topic, reader
        self._held = Held(ack_wait)
        self._cursor = bus.position(reader)

    def fetch(self, limit: int, wait: float, *, on_unreadable: Refuse | None = None) -> list[Received[D]]:
        """See `Subscription.fetch`."""
        topic, _, partition = self._reader
        stored = self._held.overdue(limit) or self._bus.stored(topic, self._cursor, partition, limit, wait)
        self._held.add(stored)
        self._cursor = max([self._cursor, *(sequence for sequence, _ in stored)])
        try:
            found, refused = sift(self._topic, stored, on_unreadable)
        except BaseException:
            self._rewind()
            raise
        self._done(refused)
        return found

    def ack(self, *received: Received[D]) -> None:
        """See `Subscription.ack`."""
        self._done([item.sequence for item in received])

    def close(self) -> None:
        """See `Subscription.close`."""
        self._held.clear()

    def _done(self, sequences: list[int]) -> None:
        left = self._held.without(sequences)
        self._bus.move(self._reader, self._cursor if left is None else left - 1)
        self._held.remove(sequences)

    def _rewind(self) -> None:
        self._held.clear()
        self._cursor = self._bus.position(self._reader)


class MemoryFollowing(Generic[D]):
    """See `Following`."""

    def __init__(self, bus: MemoryBus, topic: Topic[D], after: int) -> None:
        self._bus, self._topic, self._after = bus, topic, after

    def fetch(self, limit: int, wait: float, *, on_unreadable: Unreadable | None = None) -> list[Received[D]]:
        """See `Following.fetch`."""
        stored = self._bus.stored(self._topic.name, self._after, None, limit, wait)
        self._after = max([self._after, *(sequence for sequence, _ in stored)])
        return collect(self._topic, stored, limit, on_unreadable)

    def close(self) -> None:
        """See `Following.close`."""
