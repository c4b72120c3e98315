"""Messages to bytes and back, the same for every bus.

It must not know a broker, and must not let a message out that it could not read again.
"""

from collections.abc import Iterable

import msgspec

from mlplatform.crosscutting.bus.contract import (
    MAX_BYTES,
    PARTITIONS,
    D,
    Envelope,
    Received,
    Refuse,
    Token,
    Topic,
    Unreadable,
)
from mlplatform.errors import BusError


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


def sift(
    topic: Topic[D], stored: Iterable[tuple[int, bytes]], on_unreadable: Refuse | None
) -> tuple[list[Received[D]], list[int]]:
    """Readable messages and the sequences of those that `on_unreadable` took; see `Subscription.fetch`."""
    found: list[Received[D]] = []
    refused: list[int] = []
    for sequence, payload in stored:
        try:
            found.append(Received(sequence, decode(topic, payload)))
        except BusError as error:
            if on_unreadable is None:
                hint = f"Pass on_unreadable to fetch, to take it. {error.hint}"
                raise BusError(f"Message {sequence} cannot be read. {error}", hint=hint) from error
            on_unreadable(sequence, payload, error)
            refused.append(sequence)
    return found, refused


def check_reader(name: str, partition: int | None) -> None:
    """Raise BusError unless a subscription may have this name and partition."""
    try:
        msgspec.convert(name, Token)
    except msgspec.ValidationError as error:
        hint = "Name a reader with letters, digits, _ and - only."
        raise BusError(f"A reader cannot be named {name!r}.", hint=hint) from error
    if partition is not None and not 0 <= partition < PARTITIONS:
        hint = f"Partitions are 0 to {PARTITIONS - 1}; leave it out to read all."
        raise BusError(f"There is no partition {partition}.", hint=hint)
