"""Fills the features' memory from the lake: the rows a server must remember when it starts.

Rows of the newest partitions of every source table, as far back as any feature looks, go into one
`OnlineFeatures`; a question from `whole_from_us` on then finds everything the batch path would find. It must
not take events nor read a clock: "now" is the newest partition.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import polars as pl

from mlplatform.errors import NotFound
from mlplatform.stages.preparation.declarations import FeatureSet, Source, Static, columns_of
from mlplatform.stages.preparation.online import OnlineFeatures
from mlplatform.stores.lake import Lake, Table

DAY_US = 86_400_000_000
QUESTIONS = timedelta(days=1)
"""How long before the newest partition a question may lie."""
BELATED = timedelta(days=2)
"""How long after its partition's day a row may become known: an arrival belongs to its departure's day."""

Fingerprint = tuple[tuple[str, int, str], ...]
"""Per table: name, number of rows, newest partition."""


@dataclass(frozen=True)
class Memory:
    """Warmed features and what is in them."""

    features: OnlineFeatures
    fingerprint: Fingerprint
    first: str
    """Oldest partition in memory; empty if every row of the lake is."""
    newest: str
    whole_from_us: int | None
    """From this time (UTC, microseconds) on every question finds all it needs; None: any question does."""
    rows: Mapping[str, int]
    """Events by source, and rows by static table."""


def fingerprint(lake: Lake, use_case: str, feature_set: FeatureSet) -> Fingerprint:
    """What tells that the tables `feature_set` reads have got new rows.

    Raises
    ------
    NotFound
        if a table does not exist yet.
    """
    events = _event_tables(feature_set)
    tables = dict.fromkeys([*events, *feature_set.statics])
    return tuple(_print(lake, Table(use_case, name), name in events) for name in tables)


def warm(lake: Lake, use_case: str, feature_set: FeatureSet, *, questions: timedelta = QUESTIONS) -> Memory:
    """A memory for questions from `questions` before the newest partition on, and later.

    Raises
    ------
    NotFound
        if a table does not exist yet or has no rows.
    """
    printed = fingerprint(lake, use_case, feature_set)
    newest = max((partition for _, _, partition in printed), default="")
    first, whole_from_us = _reach(newest, feature_set, questions)
    if all(lake.partitions(Table(use_case, name))[0] >= first for name in _event_tables(feature_set)):
        first, whole_from_us = "", None
    features = OnlineFeatures(feature_set)
    rows: dict[str, int] = {}
    features.advance(whole_from_us or 0)  # said first, so that rows out of every reach need not be kept
    for table, sources in _event_tables(feature_set).items():
        frame = _plain(_read(lake, use_case, feature_set, table, first))
        rows |= {source.name: _take(features, source, frame) for source in sources}
    for table in feature_set.statics:
        rows[table] = _take_static(features, table, _read(lake, use_case, feature_set, table))
    return Memory(features, printed, first, newest, whole_from_us, rows)


def _event_tables(feature_set: FeatureSet) -> dict[str, list[Source]]:
    tables: dict[str, list[Source]] = {}
    for source in feature_set.sources:
        tables.setdefault(source.table, []).append(source)
    return tables


def _print(lake: Lake, table: Table, partitioned: bool) -> tuple[str, int, str]:
    count = lake.row_count(table)
    if not count:
        raise NotFound(
            f"the lake has no rows in {table}, which the features read.",
            hint="Materialise the use case's data first: `mlplatform run`.",
        )
    return table.name, count, lake.partitions(table)[-1] if partitioned else ""


def _reach(newest: str, feature_set: FeatureSet, questions: timedelta) -> tuple[str, int | None]:
    """The oldest partition to read, and the time from which questions are whole."""
    if not newest:
        return "", None
    start = date.fromisoformat(newest) - questions
    retention = timedelta(microseconds=feature_set.retention_us)
    whole_from = (start - date(1970, 1, 1)).days * DAY_US
    return (start - retention - BELATED - timedelta(days=1)).isoformat(), whole_from


def _read(lake: Lake, use_case: str, feature_set: FeatureSet, table: str, first: str = "") -> pl.DataFrame:
    columns = columns_of(feature_set.features, table)
    return lake.read(Table(use_case, table), columns=columns, first=first or None)


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    """Times as whole microseconds."""
    times = [name for name, kind in frame.schema.items() if isinstance(kind, pl.Datetime)]
    return frame.with_columns(pl.col(times).dt.timestamp("us")) if times else frame


def _take(features: OnlineFeatures, source: Source, frame: pl.DataFrame) -> int:
    """Feed a source's rows in the order they became known: then every one goes to the end of its logs."""
    happened = frame.filter(pl.col(source.at).is_not_null()).sort(source.at, *source.key)
    name = source.name
    for row in _rows(happened):
        features.event(name, row)
    return happened.height


def _take_static(features: OnlineFeatures, table: str, frame: pl.DataFrame) -> int:
    keys = {f.by for f in features.feature_set.features if isinstance(f, Static) and f.table == table}
    kept = _plain(frame).filter(pl.any_horizontal(pl.col(sorted(keys)).is_not_null()))
    features.load_static(table, _rows(kept))
    return kept.height


def _rows(frame: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """Rows as dictionaries; columns are turned into Python values once each, ten times faster than by row."""
    names = frame.columns
    return (dict(zip(names, row, strict=True)) for row in zip(*(s.to_list() for s in frame), strict=True))
