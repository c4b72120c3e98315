"""The bus on Kafka (extra `kafka`): one topic of one partition per platform topic, `mlplatform.<topic>`.

What differs from NATS, because Kafka has no sequence over partitions and knows no message ids:

- A position is the offset in that one partition plus 1; it grows within a topic, not over all topics.
- A reader of one partition of the keys gets the whole topic from the server and drops the rest here.
- Repeated ids are recognised by this client, among the last WINDOW messages of the topic, which it reads at
  the first publish. Two processes that publish one id at the same instant both store it.
- How long messages are kept and when they are synced to disk is set on the server (`acks=all` is asked for).

It must not subscribe as a group member: a reader is told its partition, so there is nothing to balance.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from threading import RLock
from typing import cast
from urllib.parse import urlsplit

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

from mlplatform.crosscutting.bus.codec import check_reader, collect, encode
from mlplatform.crosscutting.bus.contract import (
    BusClosed,
    D,
    Envelope,
    Received,
    Topic,
    Unreadable,
    repeat_id,
)
from mlplatform.crosscutting.bus.kafka_follow import KafkaFollowing
from mlplatform.crosscutting.bus.kafka_link import KafkaLink
from mlplatform.crosscutting.bus.kafka_subscription import KafkaSubscription
from mlplatform.errors import BusError

WINDOW = 10_000
"""Messages of a topic, back from its newest, among which a repeated id is recognised."""

_CHUNK = 5_000
"""Messages of one `publish_many` on their way at once."""
_RETENTION = {"retention.ms": str(30 * 24 * 3600 * 1000)}

Outgoing = tuple[str, str | None, bytes]
"""Id, key and bytes of a message."""


class _Ids:
    """Sequences by id of a topic's newest messages, and the offset up to which they are known."""

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.sequences: dict[str, int] = {}

    def note(self, id: str, offset: int) -> None:
        """A message is stored; the oldest is forgotten when there are too many."""
        self.sequences.setdefault(id, offset + 1)
        self.offset = max(self.offset, offset + 1)
        if len(self.sequences) > WINDOW:
            del self.sequences[next(iter(self.sequences))]


class KafkaBus:
    """Bus on the Kafka server at `url`, without TLS and password; may be used from many threads.

    Parameters
    ----------
    url : such as `kafka://127.0.0.1:9092`.
    patience : seconds a call waits for the server's answer.

    Raises
    ------
    BusError
        if no server answers.
    """

    def __init__(self, url: str, *, patience: float = 5.0) -> None:
        self._link = KafkaLink(urlsplit(url).netloc, patience)
        self._lock = RLock()
        self._closed = False
        self._end = 0
        self._known: set[str] = set()
        self._ids: dict[str, _Ids] = {}
        self._admin = self._link.admin()
        self._link.ask(lambda: self._admin.list_topics(timeout=patience))
        self._producer = self._link.producer()
        self._reader = self._link.reader()

    def publish(self, topic: Topic[D], message: Envelope[D], *, again: str = "") -> int:
        """See `Bus.publish`."""
        return self._published(topic, [(repeat_id(message.id, again), message)])[0]

    def publish_many(self, topic: Topic[D], messages: Sequence[Envelope[D]]) -> list[int]:
        """See `Bus.publish_many`."""
        return self._published(topic, [(message.id, message) for message in messages])

    def subscribe(
        self, topic: Topic[D], name: str, *, partition: int | None = None, ack_wait: float = 30.0
    ) -> KafkaSubscription[D]:
        """See `Bus.subscribe`."""
        check_reader(name, partition)
        with self._lock:
            log = self._log(topic.name)
        return KafkaSubscription(self._link, topic, log, name, partition, ack_wait)

    def read(
        self, topic: Topic[D], after: int, limit: int, *, on_unreadable: Unreadable | None = None
    ) -> list[Received[D]]:
        """See `Bus.read`."""
        with self._lock:
            log = self._log(topic.name)
            messages = self._behind(log, max(after, 0))
            stored = ((_offset(message) + 1, message.value() or b"") for message in messages)
            return collect(topic, stored, limit, on_unreadable)

    def follow(self, topic: Topic[D], after: int) -> KafkaFollowing[D]:
        """See `Bus.follow`."""
        with self._lock:
            log = self._log(topic.name)
        return KafkaFollowing(self._link, topic, log, after)

    def last(self, topic: Topic[D]) -> int:
        """See `Bus.last`."""
        with self._lock:
            log = self._log(topic.name)
            for message in self._behind(log, self._link.ends(log)[1]):
                self._end = _offset(message) + 1
            return self._end

    def close(self) -> None:
        """See `Bus.close`."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._reader.close()
                self._link.close()

    def _published(self, topic: Topic[D], messages: Sequence[tuple[str, Envelope[D]]]) -> list[int]:
        outgoing = [(id, message.partitionkey, encode(topic, message)) for id, message in messages]
        with self._lock:
            log = self._log(topic.name)
            ids = self._caught_up(log)
            sequences: list[int] = []
            for start in range(0, len(outgoing), _CHUNK):
                sequences += self._send(log, ids, outgoing[start : start + _CHUNK])
            return sequences

    def _log(self, topic: str) -> str:
        """Kafka's name of a topic, which is made if there is none."""
        if self._closed:
            raise BusClosed
        log = f"mlplatform.{topic}"
        if log not in self._known:
            (made,) = self._admin.create_topics([NewTopic(log, 1, -1, config=dict(_RETENTION))]).values()
            self._link.ask(lambda: _made(made))
            self._check_single(log)
            self._known.add(log)
        return log

    def _check_single(self, log: str) -> None:
        topics = self._link.ask(lambda: self._admin.list_topics(log, timeout=self._link.patience)).topics
        if len(topics[log].partitions) > 1:
            raise BusError(
                f"The Kafka topic {log} has {len(topics[log].partitions)} partitions; its order needs one.",
                hint="Make it again with one partition, or delete it and let mlplatform make it.",
            )

    def _behind(self, log: str, offset: int) -> Iterator[Message]:
        """Messages from an offset to the end of the topic."""
        first, end = self._link.ends(log)
        start = max(first, min(offset, end))  # not behind the end, where some servers do not answer
        self._link.ask(lambda: self._reader.assign([TopicPartition(log, 0, start)]))
        try:
            while (message := self._next()) is not None:
                if _offset(message) >= offset:
                    yield message
        finally:
            self._reader.unassign()

    def _next(self) -> Message | None:
        """The next message, None at the end.

        The end is where a fetch finds it: the answer to `ends` may be too low, since there are servers that
        count a batch as one message there.
        """
        message = self._reader.poll(self._link.patience)
        if message is None:
            raise self._link.unreachable("no message in time")
        error = message.error()
        if error is None:
            return message
        if error.code() in (KafkaError._PARTITION_EOF, KafkaError._AUTO_OFFSET_RESET):
            self._end = message.offset() or 0
            return None
        raise self._link.unreachable(error.str())

    def _caught_up(self, log: str) -> _Ids:
        """The ids in the window, with what other processes have published since."""
        first, end = self._link.ends(log)
        ids = self._ids.setdefault(log, _Ids(max(first, end - WINDOW)))
        if ids.offset < end:
            for message in self._behind(log, ids.offset):
                ids.note(_id(message), _offset(message))
        return ids

    def _send(self, log: str, ids: _Ids, outgoing: Sequence[Outgoing]) -> list[int]:
        sequences = {id: ids.sequences[id] for id, _, _ in outgoing if id in ids.sequences}
        failed: list[str] = []

        def delivered(id: str, error: KafkaError | None, message: Message) -> None:
            if error is not None:
                failed.append(error.str())
                return
            sequences[id] = _offset(message) + 1
            ids.note(id, _offset(message))

        sent: set[str] = set(sequences)
        for id, key, payload in outgoing:
            if id not in sent:
                sent.add(id)
                headers: list[tuple[str, str | bytes | None]] = [("id", id.encode())]
                self._producer.produce(log, payload, key, 0, partial(delivered, id), headers=headers)
        if (left := self._producer.flush(self._link.patience)) or failed:
            self._start_again(log)
            raise self._link.unreachable(failed[0] if failed else f"{left} messages were not confirmed")
        return [sequences[id] for id, _, _ in outgoing]

    def _start_again(self, log: str) -> None:
        """Nothing of a failed publish may be sent later, and what of it was stored has to be found out."""
        self._producer.purge()
        self._producer = self._link.producer()
        self._ids.pop(log, None)


def _made(topic: Future[None]) -> None:
    try:
        topic.result()
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise


def _offset(message: Message) -> int:
    offset = message.offset()
    assert offset is not None  # only a message that was not sent has none
    return offset


def _id(message: Message) -> str:
    """The id in the headers; a foreign message has none, and then no id of ours is empty."""
    headers = dict(cast(Iterable[tuple[str, bytes | None]], message.headers() or ()))
    return (headers.get("id") or b"").decode(errors="replace")
