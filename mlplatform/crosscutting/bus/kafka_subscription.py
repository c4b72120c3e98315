"""A durable reader of one topic on Kafka; its position is the committed offset of a group of its own.

It must not leave committing or balancing to the client.
"""

from time import monotonic
from typing import Generic

from confluent_kafka import KafkaError, Message, TopicPartition

from mlplatform.crosscutting.bus.codec import sift
from mlplatform.crosscutting.bus.contract import BusClosed, D, Received, Refuse, Topic, partition_of
from mlplatform.crosscutting.bus.held import Held, Stored
from mlplatform.crosscutting.bus.kafka_link import KafkaLink


class KafkaSubscription(Generic[D]):
    """See `Subscription`. While the server is away, `fetch` finds nothing and `ack` raises BusError."""

    def __init__(
        self, link: KafkaLink, topic: Topic[D], log: str, name: str, partition: int | None, ack_wait: float
    ) -> None:
        self._link, self._topic, self._log, self._partition = link, topic, log, partition
        self._consumer = link.consumer(f"{log}.{name}" if partition is None else f"{log}.{name}.{partition}")
        self._held = Held(ack_wait)
        self._cursor = 0
        self._closed = False
        self._rewind()

    def fetch(self, limit: int, wait: float, *, on_unreadable: Refuse | None = None) -> list[Received[D]]:
        """See `Subscription.fetch`."""
        if self._closed:
            raise BusClosed
        stored = self._held.overdue(limit) or self._new(limit, wait)
        self._held.add(stored)
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
        if not self._closed:
            self._closed = True
            self._consumer.close()

    def _new(self, limit: int, wait: float) -> list[Stored]:
        deadline = monotonic() + wait
        found: list[Stored] = []
        while len(found) < limit:
            message = self._consumer.poll(0 if found else max(0.0, deadline - monotonic()))
            if message is None:
                break
            if self._is_message(message):
                self._cursor = (message.offset() or 0) + 1
                if self._is_mine(message):
                    found.append((self._cursor, message.value() or b""))
        return found

    def _is_message(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return True
        if error.code() == KafkaError._PARTITION_EOF or error.retriable():
            return False
        raise self._link.unreachable(error.str())

    def _is_mine(self, message: Message) -> bool:
        if self._partition is None:
            return True
        key = message.key()
        text = key.decode(errors="replace") if isinstance(key, bytes) else key
        return partition_of(text) == self._partition

    def _done(self, sequences: list[int]) -> None:
        if sequences:
            left = self._held.without(sequences)
            offset = self._cursor if left is None else left - 1
            position = [TopicPartition(self._log, 0, offset)]
            self._link.ask(lambda: self._consumer.commit(offsets=position, asynchronous=False))
            self._held.remove(sequences)

    def _rewind(self) -> None:
        self._held.clear()
        partition = [TopicPartition(self._log, 0)]
        (saved,) = self._link.ask(lambda: self._consumer.committed(partition, timeout=self._link.patience))
        first, _ = self._link.ends(self._log)
        self._cursor = max(saved.offset, first)
        self._link.ask(lambda: self._consumer.assign([TopicPartition(self._log, 0, self._cursor)]))
