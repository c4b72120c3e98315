"""The bus port: what a message is (CloudEvents 1.0 attributes, msgspec JSON) and what every bus does.

It must not know a broker; `memory.py` and `nats_jetstream.py` implement it, one conformance suite tests both.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Generic, Literal, Protocol, TypeVar

import msgspec

from mlplatform.crosscutting.clock import utc_now
from mlplatform.errors import BusError

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


class Bus(Protocol):
    """Durable topics of one platform. A position is a sequence number that grows over all topics together."""

    def publish(self, topic: Topic[D], message: Envelope[D]) -> int:
        """Store a message; it is durable when this returns.

        The id is the deduplication id within the topic: publishing it again stores nothing and returns the
        first one's sequence. After an error the message may be stored; publishing it again is always safe.

        Raises
        ------
        BusError
            if no broker answers, or the message is of another topic, malformed or larger than MAX_BYTES.
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

    def last(self, topic: Topic[D]) -> int:
        """Sequence of the newest message of the topic, 0 when there is none."""
        ...

    def close(self) -> None:
        """Let go of the connection; calling it again does nothing."""
        ...


def event_id(*parts: str | int) -> str:
    """Id of 32 hexadecimal digits, the same for the same parts, so that a retried step repeats its id."""
    return hashlib.sha256(msgspec.json.encode([str(part) for part in parts])).hexdigest()[:32]


def envelope(
    topic: Topic[D],
    data: D,
    *,
    id: str,
    source: str,
    subject: str | None = None,
    time: datetime | None = None,
    traceparent: str | None = None,
) -> Envelope[D]:
    """Message of a topic; `source` names who publishes it, `time` (default: now) is turned into UTC."""
    return topic.envelope(
        id=id,
        source=source,
        type=topic.type,
        time=(time or utc_now()).astimezone(UTC),
        data=data,
        subject=subject,
        traceparent=traceparent,
    )


def encode(topic: Topic[D], message: Envelope[D]) -> bytes:
    """JSON of a message, checked to be readable again by `decode`; raises BusError if it is not."""
    try:
        payload = msgspec.json.encode(message)
    except (TypeError, ValueError) as error:
        raise BusError(f"A message for {topic.name} cannot be written as JSON: {error}.") from error
    if len(payload) > MAX_BYTES:
        raise BusError(
            f"A message for {topic.name} has {len(payload)} bytes; at most {MAX_BYTES} are allowed.",
            hint="Save the content in a store and send where it is.",
        )
    decode(topic, payload)
    return payload


class _Head(msgspec.Struct):
    type: str


def decode(topic: Topic[D], payload: bytes) -> Envelope[D]:
    """Message out of its JSON; raises BusError if it is malformed or of another type than the topic's."""
    try:
        kind = msgspec.json.decode(payload, type=_Head).type
        if kind == topic.type:
            return msgspec.json.decode(payload, type=topic.envelope)
    except ValueError as error:  # msgspec's errors and a broken UTF-8 sequence are ValueErrors
        raise BusError(
            f"A message of {topic.name} is malformed: {error}.",
            hint=f"The data of {topic.type} is described by {topic.data.__module__}.{topic.data.__name__}.",
        ) from error
    raise BusError(
        f"A message of type {kind!r} is on topic {topic.name}; it carries {topic.type!r} only.",
        hint="Make messages with mlplatform.crosscutting.bus.envelope(topic, ...).",
    )


def collect(
    topic: Topic[D], stored: Iterable[tuple[int, bytes]], limit: int, on_unreadable: Unreadable | None
) -> list[Received[D]]:
    """First `limit` readable messages of `stored`, as `Bus.read` promises; takes no more than it needs."""
    found: list[Received[D]] = []
    remaining = iter(stored)
    while len(found) < limit and (item := next(remaining, None)) is not None:
        sequence, payload = item
        try:
            found.append(Received(sequence, decode(topic, payload)))
        except BusError as error:
            if on_unreadable is None:
                hint = f"Read after {sequence} to skip it, or pass on_unreadable. {error.hint}"
                raise BusError(f"Message {sequence} cannot be read. {error}", hint=hint) from error
            on_unreadable(sequence, error)
    return found
