"""The archived events of a use case's streams, as the archiver left them in the lake.

They come in the order of the bus. It must not know features, nor read the bus.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from mlplatform.online.archive_batch import Span
from mlplatform.online.events import message_id
from mlplatform.stores.lake import Lake, Table

_COLUMNS = ["partition_key", "position", "event_id", "time", "document"]


@dataclass(frozen=True)
class ArchivedEvent:
    """One event: its position counts within `epoch`, a numbering of the bus."""

    epoch: int
    position: int
    id: str
    """Of the message on the bus."""
    stream: str
    time: datetime
    document: bytes


@dataclass(frozen=True)
class Archived:
    """Events, and up to which position of the newest epoch all of the streams are archived."""

    rows: pl.DataFrame
    epoch: int
    position: int
    anchor: tuple[int, str]

    def events(self) -> Iterator[ArchivedEvent]:
        """The events in the order of the bus."""
        for epoch, position, id, stream, time, document in self.rows.iter_rows():
            yield ArchivedEvent(epoch, position, id, stream, time, document.encode())


def archived(lake: Lake, use_case: str, streams: Sequence[str], since: datetime) -> Archived:
    """The archived events whose time is not before `since`.

    Raises
    ------
    StoreError
        if the lake cannot be read.
    """
    present = [stream for stream in streams if lake.exists(Table(use_case, f"raw_{stream}"))]
    # Spans first: what is archived between the two reads then comes twice, from the bus again; the other way
    # round it would be counted as read, and be missing.
    spans = {stream: _spans(lake, use_case, stream) for stream in present}
    frames = [_read(lake, use_case, stream, since) for stream in present]
    epoch = max((span.epoch for found in spans.values() for span in found), default=0)
    last = {s: max((x.last for x in spans.get(s, []) if x.epoch == epoch), default=0) for s in streams}
    empty = pl.DataFrame(schema={"epoch": pl.Int64, "position": pl.Int64})
    rows = pl.concat(frames).sort("epoch", "position") if frames else empty
    anchor = _anchor(lake, use_case, max(last, key=lambda stream: last[stream]), epoch, max(last.values()))
    return Archived(rows, epoch, min(last.values()), anchor)


def _spans(lake: Lake, use_case: str, stream: str) -> list[Span]:
    names = lake.partitions(Table(use_case, f"raw_{stream}"))
    return [span for span in map(Span.of, names) if span is not None]


def _read(lake: Lake, use_case: str, stream: str, since: datetime) -> pl.DataFrame:
    table = Table(use_case, f"raw_{stream}")
    rows = lake.read(table, columns=_COLUMNS, moments={"time": (since, None)})
    epoch = pl.col("partition_key").str.extract(r"^e(\d{4})-", 1).cast(pl.Int64).fill_null(0)
    id = pl.concat_str(pl.lit(message_id(use_case, stream, "")), "event_id")
    named = pl.lit(stream).alias("stream")
    return rows.select(epoch.alias("epoch"), "position", id.alias("id"), named, "time", "document")


def _anchor(lake: Lake, use_case: str, stream: str, epoch: int, position: int) -> tuple[int, str]:
    """Position and message id of the last archived event."""
    if not position:
        return 0, ""
    table = Table(use_case, f"raw_{stream}")
    newest = [
        n for n in lake.partitions(table) if (s := Span.of(n)) and (s.epoch, s.last) == (epoch, position)
    ]
    rows = lake.read(table, columns=["position", "event_id"], partitions=newest).filter(position=position)
    return position, message_id(use_case, stream, rows["event_id"][0])
