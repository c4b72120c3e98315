"""The bus port: what a message is (CloudEvents 1.0 attributes, msgspec JSON) and what every bus does.

It must not know a broker; `memory.py`, `nats_jetstream.py` and `kafka.py` implement it, and one conformance
suite tests all three.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Generic, Literal, Protocol, TypeVar
from zlib import crc32

import msgspec

from mlplatform.crosscutting import tracing
from mlplatform.crosscutting.clock import utc_now
from mlplatform.errors import BusError

PARTITIONS = 8
"""Into how many partitions keys fall; the same in every deployment, since positions depend on it."""

MAX_BYTES = 1_000_000
"""Largest encoded message; the server's limit of 1 MiB counts its own headers as well."""

Text = Annotated[str, msgspec.Meta(min_length=1)]
Token = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_-]+\Z")]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every topic's data. Unknown fields are ignored on reading, so that a topic can grow."""

    use_case: Token


D = TypeVar("D", bound=Event)


class Envelope(msgspec.Struct, Generic[D], frozen=True, kw_only=True):
    """One message; attribute names and meaning are those of CloudEvents 1.0, `time` is UTC."""

    id: Text
    source: Text
    type: Text
    time: Instant
    data: D
    subject: str | None = None
    dataschema: str | None = None
    traceparent: str | None = None
    partitionkey: str | None = None
    """Messages of one topic with the same key keep their order, also for several readers at once."""
    specversion: Literal["1.0"] = "1.0"
    datacontenttype: Literal["application/json"] = "application/json"


@dataclass(frozen=True)
class Topic(Generic[D]):
    """A named stream of messages whose data is one type of event."""

    name: str
    data: type[D]
    envelope: type[Envelope[D]]
    """`Envelope[data]`, written out where the topic is declared, so that type checkers see it too."""
    version: int = 1

    @property
    def type(self) -> str:
        """CloudEvents type, such as `mlplatform.raw-data-extracted.v1`."""
        return f"mlplatform.{self.name}.v{self.version}"


@dataclass(frozen=True)
class Received(Generic[D]):
    """A message and its position in the stream."""

    sequence: int
    envelope: Envelope[D]


Unreadable = Callable[[int, BusError], None]
"""Told of a stored message that cannot be decoded: its sequence and why."""

Refuse = Callable[[int, bytes, BusError], None]
"""Takes a stored message that cannot be decoded: its sequence, its bytes and why."""


class BrokerAway(BusError):
    """No broker answers; the same call may work later."""


class BusClosed(BusError):
    """This object was closed; no waiting helps."""

    def __init__(self) -> None:
        super().__init__("This bus is closed.", hint="Open another one with open_bus(url).")


class Subscription(Protocol[D]):
    """Reads one topic from a durable position. Not thread-safe; one reader per name and partition at a time.

    The position is the first message not acknowledged: the next reader begins there, so what was acknowledged
    behind it may come again. Every message is delivered at least once, in order, until it is acknowledged.
    """

    def fetch(self, limit: int, wait: float, *, on_unreadable: Refuse | None = None) -> list[Received[D]]:
        """Up to `limit` messages in order; waits up to `wait` seconds for the first one, for no further one.

        What is not acknowledged within `ack_wait` seconds comes again. A message that cannot be decoded is
        acknowledged once `on_unreadable` has returned.

        Raises
        ------
        BusError
            if no broker answers, or a message cannot be decoded and `on_unreadable` is not given. After any
            error all that is not acknowledged comes again.
        """
        ...

    def ack(self, *received: Received[D]) -> None:
        """Done with these; the broker has noted it when this returns.

        A broker killed in the next moment may not have it on disk yet: then they come again.
        """
        ...

    def close(self) -> None:
        """Let go; what was fetched and not acknowledged comes to the next reader of that name at once."""
        ...


class Following(Protocol[D]):
    """Reads one topic behind a position that its owner keeps. Not thread-safe.

    Every message is delivered, in order; after a broker was away the last ones may come again.
    """

    def fetch(self, limit: int, wait: float, *, on_unreadable: Unreadable | None = None) -> list[Received[D]]:
        """Up to `limit` messages in order, each once; waits up to `wait` seconds for the first one only.

        Raises
        ------
        BusError
            if no broker answers (the next call goes on where this one was), or a message cannot be decoded
            and `on_unreadable` is not given; it is not delivered again.
        """
        ...

    def close(self) -> None:
        """Let go; the bus remembers nothing of it."""
        ...


class Bus(Protocol):
    """Durable topics of one platform. A position is a sequence number; it grows within a topic.

    On one broker stream (memory, NATS) it grows over all topics together.
    """

    def publish(self, topic: Topic[D], message: Envelope[D], *, again: str = "") -> int:
        """Store a message; it is durable when this returns.

        The id is the deduplication id within the topic: publishing it again stores nothing and returns the
        first one's sequence. After an error the message may be stored; publishing it again is always safe.

        Parameters
        ----------
        again : names a deliberate repetition: the message is stored once more under its own id, by which
            consumers know what they have handled; repeated under the same `again` it is there once.

        Raises
        ------
        BusError
            if no broker answers, or the message is of another topic, malformed or larger than MAX_BYTES.
        """
        ...

    def publish_many(self, topic: Topic[D], messages: Sequence[Envelope[D]]) -> list[int]:
        """Store messages in this order, as `publish` does, with many on their way at once; their sequences.

        All are checked before the first is sent. After an error some may be stored; send all again then.
        """
        ...

    def subscribe(
        self, topic: Topic[D], name: str, *, partition: int | None = None, ack_wait: float = 30.0
    ) -> Subscription[D]:
        """A durable reader: the bus remembers under `name` (a Token) which messages were acknowledged.

        Begins at the topic's first message. With `partition` (0 to PARTITIONS - 1) it gets only the messages
        whose `partitionkey` falls there (`partition_of`); one reader per name and partition keeps order.
        Without one it gets them all. `ack_wait` is in seconds.
        """
        ...

    def read(
        self, topic: Topic[D], after: int, limit: int, *, on_unreadable: Unreadable | None = None
    ) -> list[Received[D]]:
        """First `limit` messages of the topic behind position `after`, in order; does not wait for new ones.

        Raises
        ------
        BusError
            if no broker answers, or a stored message cannot be decoded and `on_unreadable` is not given;
            else that is called with the sequence and the error, and reading goes on behind the message.
        """
        ...

    def follow(self, topic: Topic[D], after: int) -> Following[D]:
        """A reader of what is behind position `after` and of what comes, told as soon as it is stored.

        The broker keeps no position of it. A position behind the topic's newest message waits for later ones.
        """
        ...

    def last(self, topic: Topic[D]) -> int:
        """Sequence of the newest message of the topic, 0 when there is none."""
        ...

    def close(self) -> None:
        """Let go of the connection; calling it again does nothing."""
        ...


def partition_of(key: str | None) -> int:
    """The partition of a key: CRC-32 modulo PARTITIONS; 0 where there is no key."""
    return crc32(key.encode()) % PARTITIONS if key else 0


def event_id(*parts: str | int) -> str:
    """Id of 32 hexadecimal digits, the same for the same parts, so that a retried step repeats its id."""
    return hashlib.sha256(msgspec.json.encode([str(part) for part in parts])).hexdigest()[:32]


def repeat_id(id: str, again: str) -> str:
    """What a bus recognises repeats of a message by: its id, and which deliberate repetition it is."""
    return event_id(id, again) if again else id


def envelope(
    topic: Topic[D],
    data: D,
    *,
    id: str,
    source: str,
    subject: str | None = None,
    time: datetime | None = None,
    traceparent: str | None = None,
    partitionkey: str | None = None,
) -> Envelope[D]:
    """Message of a topic; `source` names who publishes it, `time` (default: now) is turned into UTC.

    Without a `traceparent` it has that of the request, message or run it is made for, if there is one.
    """
    return topic.envelope(
        id=id,
        source=source,
        type=topic.type,
        time=(time or utc_now()).astimezone(UTC),
        data=data,
        subject=subject,
        traceparent=traceparent or tracing.known(),
        partitionkey=partitionkey,
    )
