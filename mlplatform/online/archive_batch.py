"""What the archiver writes: the kept lines, the rows and the manifest of a run of one stream's events.

The same events at the same positions always give the same bytes and the same batch. It must not read a bus or
write a store.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import polars as pl

from mlplatform.crosscutting.bus import Received
from mlplatform.crosscutting.bus.topics import SourceEvent
from mlplatform.online.events import event_id_of
from mlplatform.stores.batches import QUARANTINE_SCHEMA, Batch, Kept, Manifest, batch_id

SOURCE = "bus://source-event"

INSTANT = pl.Datetime("us", "UTC")
ROWS: dict[str, pl.DataType | type[pl.DataType]] = {
    "partition_key": pl.String,
    "batch_id": pl.String,
    "position": pl.Int64,
    "event_id": pl.String,
    "time": INSTANT,
    "key": pl.String,
    "day": pl.String,
    "document": pl.String,
}
_PARTITION = re.compile(r"(?:e(\d{4})-)?(\d{20})-(\d{20})")

Events = Sequence[Received[SourceEvent]]


class Span(NamedTuple):
    """The bus positions of a batch, both ends included; `epoch` counts the bus's numberings from 0."""

    epoch: int
    first: int
    last: int

    @property
    def partition(self) -> str:
        """The batch's name; in the order of text it follows all that was archived before."""
        name = f"{self.first:020d}-{self.last:020d}"
        return f"e{self.epoch:04d}-{name}" if self.epoch else name

    @classmethod
    def of(cls, partition: str) -> "Span | None":
        """The span of a batch of that name; None if no archiver made it."""
        found = _PARTITION.fullmatch(partition)
        return cls(int(found[1] or 0), int(found[2]), int(found[3])) if found else None


def lines(events: Events) -> Iterator[bytes]:
    """One JSON object a line: position, id, time, key, and the document's own text as a string.

    A string, since only that keeps every byte: a document may span lines.
    """
    for position, event_id, time, key, _, document in map(_row, events):
        line = {"position": position, "id": event_id, "time": time, "key": key, "document": document}
        yield msgspec.json.encode(line) + b"\n"


def batch(stream: str, epoch: int, events: Events, kept: Kept, received_at: datetime) -> Batch:
    """The batch of `events`, whose lines are kept as `kept`."""
    partition = Span(epoch, events[0].sequence, events[-1].sequence).partition
    id = batch_id(stream, partition, kept.sha256)
    rows = [(partition, id, *_row(event)) for event in events]
    times = [event.envelope.time for event in events]
    manifest = Manifest(
        batch_id=id,
        data_set=stream,
        partition=partition,
        source=SOURCE,
        objects=(kept.sha256,),
        sha256=kept.sha256,
        bytes=kept.bytes,
        rows=len(rows),
        received_at=received_at,
        event_from=min(times).astimezone(UTC),
        event_until=max(times).astimezone(UTC),
        message_id=events[-1].envelope.id,
    )
    nothing = pl.DataFrame(schema={name: QUARANTINE_SCHEMA[name] for name in ("reason", "line", "document")})
    return Batch(manifest, pl.DataFrame(rows, schema=ROWS, orient="row"), nothing)


def size(event: Received[SourceEvent]) -> int:
    """Bytes of an event's document."""
    return len(event.envelope.data.document)


def is_text(event: Received[SourceEvent]) -> bool:
    """Whether the document is UTF-8; a foreign program can have sent one that is not."""
    try:
        str(event.envelope.data.document, "utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _row(event: Received[SourceEvent]) -> tuple[int, str, datetime, str | None, str, str]:
    message: Any = event.envelope
    time = message.time.astimezone(UTC)
    document = str(message.data.document, "utf-8")
    return event.sequence, event_id_of(message), time, message.partitionkey, f"{time:%Y-%m-%d}", document
