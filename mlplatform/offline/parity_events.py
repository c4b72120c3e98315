"""The events of the lake as a service would have got them: every source's rows in the order of known time.

Rows are read a stretch of time after the other, so memory is bounded; those a question can still reach are
kept as frames, to show afterwards what was given. It must not know what is computed from them.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from mlplatform.stages.preparation.declarations import FeatureSet, Source, columns_of
from mlplatform.stages.preparation.durations import microseconds
from mlplatform.stages.preparation.online import OnlineFeatures
from mlplatform.stores.lake import Lake, Table

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KNOWN = "__known"
"""Column of a kept frame: from when its rows were known, µs."""

Facts = dict[str, Any]


class Feed:
    """Gives the rows of a use case's sources to an online executor, each once, in order of known time."""

    def __init__(self, lake: Lake, use_case: str, features: OnlineFeatures) -> None:
        self.given = 0
        """Events given so far."""
        self._lake, self._use_case, self._features = lake, use_case, features
        self._feature_set = features.feature_set
        self._waiting: list[tuple[int, str, Facts]] = []
        self._at = 0
        self._kept: dict[str, list[pl.DataFrame]] = {s.name: [] for s in self._feature_set.sources}

    def load_statics(self) -> None:
        """Give the tables that do not change with time."""
        for table in self._feature_set.statics:
            columns = columns_of(self._feature_set.features, table)
            rows = self._lake.read(Table(self._use_case, table), columns=columns)
            self._features.load_static(table, rows_of(plain(rows)))

    def warm(self, start_us: int) -> None:
        """Give what was known before `start_us` and that a question from then on can reach."""
        for source in self._feature_set.sources:
            reach = self._feature_set.clocks(source.table)[source.at]
            frame = self._read(source, start_us - reach, start_us)
            self._kept[source.name].append(frame)
            for row in rows_of(frame):
                self._features.event(source.name, row)
            self.given += frame.height

    def load(self, start_us: int, end_us: int) -> None:
        """Read the rows that become known from `start_us` on and before `end_us`; `until` gives them."""
        left = self._waiting[self._at :]
        for source in self._feature_set.sources:
            frame = self._read(source, start_us, end_us)
            self._keep(source.name, frame, start_us)
            known = frame[KNOWN].to_list()
            names = [source.name] * frame.height
            left += zip(known, names, rows_of(frame), strict=True)
        left.sort(key=lambda event: event[0])  # stable: rows of one source known at once keep their order
        self._waiting, self._at = left, 0

    def until(self, moment_us: int) -> None:
        """Give, one by one, what is known at `moment_us`."""
        waiting, at, give = self._waiting, self._at, self._features.event
        while at < len(waiting) and waiting[at][0] <= moment_us:
            give(waiting[at][1], waiting[at][2])
            at += 1
        self.given += at - self._at
        self._at = at

    def told(self, source: str, until_us: int) -> pl.DataFrame:
        """The rows of a source that were given and known at a time of the present stretch."""
        frames = [frame.filter(pl.col(KNOWN) <= until_us) for frame in self._kept[source]]
        return pl.concat(frames) if frames else pl.DataFrame()

    def _keep(self, source: str, frame: pl.DataFrame, now_us: int) -> None:
        oldest = now_us - self._feature_set.retention_us
        recent = [old for old in self._kept[source] if old.height and old[KNOWN][-1] >= oldest]
        self._kept[source] = [*recent, frame]

    def _read(self, source: Source, start_us: int, end_us: int) -> pl.DataFrame:
        return known_rows(self._lake, self._use_case, self._feature_set, source, start_us, end_us - 1)


def known_rows(
    lake: Lake, use_case: str, feature_set: FeatureSet, source: Source, first_us: int, last_us: int
) -> pl.DataFrame:
    """A source's rows known from `first_us` to `last_us` (both included), in that order; times as µs.

    Rows known at one moment follow their key, as in the batch executor.
    """
    lag = microseconds(source.lag)
    columns = columns_of(feature_set.features, source.table)
    bounds = (moment(first_us - lag), moment(last_us - lag))
    rows = lake.read(Table(use_case, source.table), columns=columns, moments={source.at: bounds})
    known = (pl.col(source.at) + lag).alias(KNOWN)
    return plain(rows).with_columns(known).sort(KNOWN, *source.key)


def moment(us: int) -> datetime:
    """Microseconds since 1970 as a UTC time."""
    return _EPOCH + timedelta(microseconds=us)


def plain(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with times as whole microseconds, as events carry them."""
    times = [name for name, kind in frame.schema.items() if isinstance(kind, pl.Datetime)]
    return frame.with_columns(pl.col(times).dt.timestamp("us")) if times else frame


def rows_of(frame: pl.DataFrame) -> Iterator[Facts]:
    """Rows as dictionaries of Python values, column by column, which is faster than row by row."""
    names = frame.columns
    rows = zip(*(series.to_list() for series in frame), strict=True)
    return (dict(zip(names, row, strict=True)) for row in rows)
