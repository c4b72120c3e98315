"""The rows that the windows of some questions can reach, each with its batch: of cleaned tables, of streams.

It must not say which of them a window holds; `stages/monitoring/lineage.py` does.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
import polars as pl

from mlplatform.stages.monitoring.lineage import BATCH
from mlplatform.stages.preparation.declarations import FeatureSet, Source, columns_of, told_columns
from mlplatform.stores.lake import KEY
from mlplatform.stores.tracing.origin import Origin

LATE = timedelta(days=7)
"""How much earlier or later than it says of itself an event may have been sent."""
_UTC = pl.Datetime("us", "UTC")


def cleaned(
    origin: Origin, feature_set: FeatureSet, begin: datetime, end: datetime
) -> dict[str, pl.DataFrame]:
    """By table the rows that questions as of `begin` … `end` can see, with the columns features read.

    Raises
    ------
    NotFound
        if a table or a column is not there any more.
    """
    found = {}
    for name in dict.fromkeys([*(source.table for source in feature_set.sources), *feature_set.statics]):
        reach = {clock: timedelta(microseconds=us) for clock, us in feature_set.clocks(name).items()}
        known = {clock: (begin - before, end) for clock, before in reach.items()}
        wanted = columns_of(feature_set.features, name)
        columns = [*wanted, *marks(origin, name, wanted)]
        rows = origin.lake.read(origin.table(name), columns=columns, moments=known or None)
        found[name] = rows.select(*wanted, batch_of(origin, name, rows))
    return found


def marks(origin: Origin, table: str, besides: list[str]) -> list[str]:
    """The columns of a cleaned table by which a row's batch is known."""
    there = origin.columns(table)
    return [name for name in (BATCH, KEY) if name in there and name not in besides]


def batch_of(origin: Origin, table: str, rows: pl.DataFrame) -> pl.Series:
    """Per row its batch: as the row says, else the one that is served of its partition."""
    if BATCH in rows.columns:
        return rows[BATCH]
    served = {partition: id for (name, partition), id in origin.current.items() if name == table}
    if KEY in rows.columns:
        return rows[KEY].replace_strict(served, default=None, return_dtype=pl.String).alias(BATCH)
    only = next(iter(served.values())) if len(served) == 1 else None
    return pl.repeat(only, rows.height, dtype=pl.String, eager=True).alias(BATCH)


def archived(
    origin: Origin, feature_set: FeatureSet, begin: datetime, end: datetime
) -> dict[str, pl.DataFrame]:
    """By source the archived events that are its rows and that such questions can see."""
    reach = timedelta(microseconds=feature_set.retention_us) + LATE
    sources = {source.name: source for source in feature_set.sources}
    told: dict[str, list[pl.DataFrame]] = {}
    for stream, kinds in origin.streams.items():
        if not {"document", "time", BATCH} <= set(origin.columns(f"raw_{stream}")):
            continue
        rows = origin.lake.read(
            origin.table(f"raw_{stream}"),
            columns=["document", BATCH],
            moments={"time": (begin - reach, end + LATE)},
        )
        for name, frame in _by_source(rows, kinds, sources).items():
            told.setdefault(name, []).append(frame)
    return {name: _typed(origin, feature_set, sources[name], frames) for name, frames in told.items()}


def events_of(origin: Origin, feature_set: FeatureSet, stream: str, batch: str) -> dict[str, pl.DataFrame]:
    """By source the events of one batch of a stream."""
    query = f'SELECT document, {BATCH} FROM "{origin.use_case}"."raw_{stream}" WHERE {BATCH} = ?'
    sources = {source.name: source for source in feature_set.sources}
    told = _by_source(origin.lake.sql(query, [batch]), origin.streams[stream], sources)
    return {name: _typed(origin, feature_set, sources[name], [frame]) for name, frame in told.items()}


def _by_source(
    rows: pl.DataFrame, kinds: Mapping[str, str], sources: Mapping[str, Source]
) -> dict[str, pl.DataFrame]:
    """The documents as rows of the sources they are of; one that is no JSON object is nobody's."""
    found: dict[str, list[dict[str, Any]]] = {}
    for document, batch in rows.iter_rows():
        try:
            event = msgspec.json.decode(document)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        source = kinds.get(event.get("type", "")) if isinstance(event, dict) else None
        if source in sources:
            found.setdefault(str(source), []).append(event | {BATCH: batch})
    return {
        name: pl.DataFrame(events, infer_schema_length=None, strict=False) for name, events in found.items()
    }


def _typed(
    origin: Origin, feature_set: FeatureSet, source: Source, frames: list[pl.DataFrame]
) -> pl.DataFrame:
    """Events with the columns and types of the cleaned table; what an event leaves out is missing."""
    columns = list(told_columns(feature_set.features, source))
    table = origin.table(source.table)
    stored = origin.lake.read(table, columns=columns, partitions=[]).schema
    rows = pl.concat(frames, how="diagonal_relaxed")
    return rows.select(*(_cast(rows, name, stored[name]) for name in columns), BATCH)


def _cast(rows: pl.DataFrame, name: str, kind: pl.DataType) -> pl.Expr:
    if name not in rows.columns:
        return pl.lit(None, kind).alias(name)
    if isinstance(kind, pl.Datetime) and rows[name].dtype == pl.String:
        moments = pl.col(name).str.to_datetime("%+", time_unit="us", strict=False)
        return moments.dt.convert_time_zone("UTC").cast(_UTC).alias(name)
    return pl.col(name).cast(kind, strict=False)
