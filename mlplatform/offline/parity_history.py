"""What a cell that differs was computed from: rows of its key within reach, as batch has them and as given.

For people who look for the cause of a difference. It must not compute a feature.
"""

from collections.abc import Iterator

import polars as pl

from mlplatform.offline.parity_events import KNOWN, Facts, Feed, known_rows, plain
from mlplatform.offline.parity_found import History
from mlplatform.stages.preparation.declarations import (
    Feature,
    FeatureSet,
    Row,
    Source,
    Static,
    key_columns,
    reach_us,
    sources_of,
)
from mlplatform.stores.lake import Lake, Table

MOST_ROWS = 20
"""Rows of a history that are shown, the latest."""


def histories(
    lake: Lake, feed: Feed, use_case: str, feature_set: FeatureSet, name: str, facts: Facts, asked: int
) -> tuple[History, History]:
    """The rows behind a feature's value at `asked` (µs): of the lake as it is now, and as they were given."""
    batch: History = []
    online: History = []
    for feature, source in _behind(feature_set, name):
        first = asked - reach_us(feature)
        now = known_rows(lake, use_case, feature_set, source, first, asked)
        given = feed.told(source.name, asked).filter(pl.col(KNOWN) >= first)
        batch += _shown(now, feature, source, facts)
        online += _shown(given, feature, source, facts)
    for static in _statics(feature_set, name):
        columns = [static.by, static.value]
        rows = plain(lake.read(Table(use_case, static.table), columns=columns))
        found = rows.filter(pl.col(static.by).eq_missing(pl.lit(facts[static.by]))).to_dicts()
        batch += [{"source": static.table, **row} for row in found]
        online += [{"source": static.table, **row} for row in found]  # loaded once, from the same rows
    return _latest(batch), _latest(online)


def _behind(feature_set: FeatureSet, name: str) -> Iterator[tuple[Feature, Source]]:
    """The features with a window that a feature is or reads, each with its sources."""
    for feature in _read_by(feature_set, name):
        for source in sources_of(feature):
            yield feature, source


def _statics(feature_set: FeatureSet, name: str) -> list[Static]:
    return [feature for feature in _read_by(feature_set, name) if isinstance(feature, Static)]


def _read_by(feature_set: FeatureSet, name: str) -> Iterator[Feature]:
    for feature in feature_set.features:
        if feature.name == name:
            yield feature
            for column in sorted(feature.expression.columns()) if isinstance(feature, Row) else ():
                yield from _read_by(feature_set, column)


def _shown(frame: pl.DataFrame, feature: Feature, source: Source, facts: Facts) -> History:
    """The rows of the question's key; the closings of an open item have its key only, so all are shown."""
    for column in key_columns(getattr(feature, "by", ())):
        if column in frame.columns:
            frame = frame.filter(pl.col(column).eq_missing(pl.lit(facts[column])))
    return [{"source": source.name, **row} for row in frame.tail(MOST_ROWS).to_dicts()]


def _latest(rows: History) -> History:
    shown = {tuple(row.items()): row for row in rows}
    latest = sorted(shown.values(), key=lambda row: row.get(KNOWN) or 0)[-MOST_ROWS:]
    return [{name.removeprefix("__"): value for name, value in row.items()} for row in latest]
