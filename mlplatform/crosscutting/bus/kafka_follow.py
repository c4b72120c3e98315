"""Follows one topic on Kafka behind a position that its owner keeps; see `contract.Following`.

It must not commit anything, nor join a group.
"""

from time import monotonic
from typing import Generic

from confluent_kafka import KafkaError, TopicPartition

from mlplatform.crosscutting.bus.codec import collect
from mlplatform.crosscutting.bus.contract import BusClosed, D, Received, Topic, Unreadable
from mlplatform.crosscutting.bus.kafka_link import KafkaLink

_SPIN = 0.2
"""Seconds of one look, after which a server that is away is noticed."""


class KafkaFollowing(Generic[D]):
    """See `Following`. While the server is away `fetch` finds nothing; it connects again by itself."""

    def __init__(self, link: KafkaLink, topic: Topic[D], log: str, after: int) -> None:
        self._link, self._topic, self._after = link, topic, max(after, 0)
        self._consumer = link.consumer("mlplatform.follow")
        first, end = link.ends(log)
        # Behind the end some servers do not answer; what comes before `after` is left out below.
        start = TopicPartition(log, 0, max(first, min(self._after, end)))
        link.ask(lambda: self._consumer.assign([start]))
        self._closed = False

    def fetch(self, limit: int, wait: float, *, on_unreadable: Unreadable | None = None) -> list[Received[D]]:
        """See `Following.fetch`."""
        if self._closed:
            raise BusClosed
        stored = self._stored(limit, monotonic() + wait)
        return collect(self._topic, stored, limit, on_unreadable)

    def close(self) -> None:
        """See `Following.close`."""
        if not self._closed:
            self._closed = True
            self._consumer.close()

    def _stored(self, limit: int, deadline: float) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        while len(found) < limit:
            left = 0.0 if found else max(0.0, min(_SPIN, deadline - monotonic()))
            message = self._consumer.poll(left)
            if message is None:
                if found or monotonic() >= deadline:
                    break
                continue
            error = message.error()
            if error is None and (sequence := (message.offset() or 0) + 1) > self._after:
                self._after = sequence
                found.append((sequence, message.value() or b""))
            elif error is not None and error.code() != KafkaError._PARTITION_EOF and not error.retriable():
                raise self._link.unreachable(error.str())
        return found
