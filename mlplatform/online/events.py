"""Events as senders write them: read out of a request's body, and made messages of the topic `source-event`.

An event is a JSON object in the form of CloudEvents 1.0, of which four attributes count: `id`, `time`,
`subject` (or `key`) and `data`. It must not publish anything, nor change a byte of `data`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import msgspec

from mlplatform.crosscutting.bus import Envelope, envelope
from mlplatform.crosscutting.bus.topics import SOURCE_EVENT, SourceEvent
from mlplatform.errors import RequestError
from mlplatform.online.replies import shown

BODY_CAP = 4 * 1024 * 1024
"""Bytes of a request's body."""
MOST_EVENTS = 1_000
"""Events of one request."""
DATA_CAP = 256 * 1024
"""Bytes of one event's `data`."""
MOST_CHARACTERS = 200
"""Characters of an `id` or a key."""

_LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl")
_DEPTH = 64
"""Levels that whoever reads `data` later, inside something else, has left before its parser gives up."""
_FORM = "An event is {id: text, time: RFC 3339 with a zone, subject: text (optional), data: object}."

# No control characters: a NUL in a text is more than some stores of file statistics can take.
_Name = Annotated[
    str, msgspec.Meta(min_length=1, max_length=MOST_CHARACTERS, pattern=r"\A[^\x00-\x1f\x7f]+\Z")
]


T = TypeVar("T")


class _Event(msgspec.Struct):
    id: _Name
    time: Annotated[datetime, msgspec.Meta(tz=True)]
    data: msgspec.Raw
    subject: _Name | None = None
    key: _Name | None = None


class Incoming(msgspec.Struct, frozen=True):
    """One event: its sender's id (sent again it counts once), UTC time, ordering key, data's own bytes."""

    id: str
    time: datetime
    key: str | None
    data: bytes


def read_events(body: bytes, content_type: str = "") -> list[Incoming]:
    """The events of a body: one JSON object, a JSON array, or (`application/x-ndjson`) an object per line.

    Raises
    ------
    RequestError
        400 if any event is wrong, naming which one and why; 413 if there are too many, or one is too large.
    """
    if content_type.partition(";")[0].strip().lower() in _LINES:
        found = _lines(body)
    elif body.lstrip(b" \t\r\n").startswith(b"["):
        found = _decoded(body, list[_Event])
    else:
        found = [_decoded(body, _Event)]
    if not found:
        raise RequestError("got no event; at least one is needed.", hint=_FORM)
    if len(found) > MOST_EVENTS:
        raise _too_many(f"{len(found)}")
    return [_checked(number, event) for number, event in enumerate(found)]


def message(use_case: str, stream: str, event: Incoming) -> Envelope[SourceEvent]:
    """The event as it goes over the bus; see `message_id`."""
    data = SourceEvent(use_case=use_case, stream=stream, document=msgspec.Raw(event.data))
    return envelope(
        SOURCE_EVENT,
        data,
        id=message_id(use_case, stream, event.id),
        source=f"/events/{stream}",
        subject=event.key,
        time=event.time,
        partitionkey=event.key,
    )


def messages(use_case: str, stream: str, events: Sequence[Incoming]) -> list[Envelope[SourceEvent]]:
    """Several events as they go over the bus, in order."""
    return [message(use_case, stream, event) for event in events]


def message_id(use_case: str, stream: str, id: str) -> str:
    """The message's id: the event's own, behind its stream.

    The topic is common to all streams and the bus recognises repeats by this id: two senders that both count
    from 1 must not hide each other's events.
    """
    return f"{use_case}/{stream}/{id}"


def event_id_of(message: Envelope[SourceEvent]) -> str:
    """The id that the event's sender gave it; of a message of a foreign program, the message's own."""
    return message.id.removeprefix(message_id(message.data.use_case, message.data.stream, ""))


def _lines(body: bytes) -> list[_Event]:
    found: list[_Event] = []
    for number, line in enumerate(body.split(b"\n"), start=1):
        if line.strip():
            if len(found) == MOST_EVENTS:
                raise _too_many("more")
            found.append(_decoded(line, _Event, f"line {number}: "))
    return found


def _decoded(body: bytes, kind: type[T], where: str = "") -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (ValueError, RecursionError) as error:  # msgspec's errors and broken UTF-8 are ValueErrors
        raise RequestError(f"{where}{_why(error)}.", hint=_FORM) from error


def _checked(number: int, event: _Event) -> Incoming:
    if len(event.data) > DATA_CAP:
        raise RequestError(
            f"event {number} (id {shown(event.id)}): data has {len(event.data)} bytes; "
            f"allowed: {DATA_CAP // 1024} KiB.",
            status=413,
            hint="Save the content in a store and send where it is.",
        )
    data = bytes(event.data)
    try:
        msgspec.json.decode(b"[" * _DEPTH + data + b"]" * _DEPTH)
        if not data.startswith(b"{"):
            raise ValueError("data is no JSON object")
        return Incoming(event.id, event.time.astimezone(UTC), event.subject or event.key, data)
    except (ValueError, OverflowError, RecursionError) as error:
        said = f"event {number} (id {shown(event.id)}): {_why(error)}."
        raise RequestError(said, hint=f"Nothing was accepted. {_FORM}") from error


def _why(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "the text is not UTF-8"
    return {RecursionError: "data is nested too deeply", OverflowError: "time is out of range"}.get(
        type(error), shown(str(error), 300).strip("'\"")
    )


def _too_many(got: str) -> RequestError:
    return RequestError(
        f"got {got} events; allowed: {MOST_EVENTS} in one request.",
        status=413,
        hint="Send them in several requests.",
    )
