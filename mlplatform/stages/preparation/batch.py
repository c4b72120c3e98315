"""The batch executor: all features of a whole range of rows, point in time, by sorted search.

Per (source, keys) the known rows are sorted once; a window is then two binary searches into prefix sums
of whole numbers, and one float step at the end, the same that `online.py` takes. It must not know where
frames come from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import polars as pl

from mlplatform.errors import FeatureError
from mlplatform.stages.preparation.columns import (
    MINUTE,
    Prefix,
    aggregate,
    distinct,
    exponential,
    last,
    masked,
    require_columns,
    standing,
)
from mlplatform.stages.preparation.declarations import (
    SEPARATOR,
    Agg,
    Category,
    ExponentialMean,
    Feature,
    FeatureSet,
    Last,
    Open,
    Row,
    Source,
    Spine,
    Static,
    TargetRate,
    Windowed,
    key_columns,
    told_columns,
)
from mlplatform.stages.preparation.durations import microseconds
from mlplatform.stages.preparation.search import Ints, Questions, Search, sorted_rows


def compute(feature_set: FeatureSet, spine: pl.DataFrame, tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """The features of every row of `spine`.

    Parameters
    ----------
    spine
        one row per question: the spine's key, its facts; other columns are ignored.
    tables
        the cleaned tables the sources read, times as `Datetime("us", "UTC")`; they must reach back
        `feature_set.retention_us` before the first question. Later rows do no harm: none is read early.

    Returns
    -------
    the spine's key columns that are no facts, its facts, `as_of`, and a column per feature; rows in the
    order of `spine`.

    Raises
    ------
    FeatureError
        if a table or column is missing, a time is not in UTC microseconds, an aggregated column is not of
        whole numbers, or a sum would leave the range in which floats are exact.
    """
    needed = list(dict.fromkeys([*feature_set.spine.key, *feature_set.spine.facts]))
    require_columns(spine, needed, f"the spine of {feature_set.name!r}")
    asked = spine.select(needed)
    rows = _typed(asked, feature_set.spine).with_columns(as_of=feature_set.spine.as_of.polars())
    if rows["as_of"].null_count():
        raise FeatureError(
            f"{rows['as_of'].null_count()} rows of the spine of {feature_set.name!r} have no as_of.",
            hint="as_of must be computable from facts that are never missing.",
        )
    columns = _Batch(asked, rows["as_of"], tables).columns(feature_set.features)
    for feature in feature_set.features:
        if isinstance(feature, Row):
            rows = rows.with_columns(feature.expression.polars().alias(feature.name))
        elif isinstance(feature, Category):
            rows = rows.with_columns(asked[feature.column].alias(feature.name))
        elif isinstance(feature, TargetRate):
            parts = [pl.col(column).cast(pl.String) for column in key_columns(feature.columns)]
            rows = rows.with_columns(pl.concat_str(parts, separator=SEPARATOR).alias(feature.name))
        else:
            rows = rows.with_columns(columns[feature.name].alias(feature.name))
    extra = [c for c in needed if c not in feature_set.names]
    return rows.select([*extra, "as_of", *feature_set.names])


class _Batch:
    """One computation: the questions, the tables, and what groups of features share."""

    def __init__(self, rows: pl.DataFrame, as_of: pl.Series, tables: Mapping[str, pl.DataFrame]) -> None:
        self._rows = rows
        self._tables = tables
        self._asked = _microseconds(as_of, "as_of of the spine")
        self._features: Sequence[Feature] = ()
        self._events = cache(self._read_events)
        self._items = cache(self._read_items)
        self._source_codes = cache(self._read_source_codes)
        self._questions = cache(self._read_questions)
        self._dictionary = cache(self._read_dictionary)

    def columns(self, features: Sequence[Feature]) -> dict[str, pl.Series]:
        """Every feature that looks at other rows, by name."""
        self._features = features
        groups: dict[tuple[Source, tuple[str, ...]], list[Windowed]] = {}
        columns: dict[str, pl.Series] = {}
        for feature in features:
            match feature:
                case Agg() | ExponentialMean() | Last():
                    groups.setdefault((feature.source, key_columns(feature.by)), []).append(feature)
                case Open():
                    columns[feature.name] = self._open(feature)
                case Static():
                    columns[feature.name] = self._static(feature)
                case _:
                    pass
        for (source, by), members in groups.items():
            columns |= self._known(source, by, members)
        return columns

    def _known(self, source: Source, by: tuple[str, ...], members: list[Windowed]) -> dict[str, pl.Series]:
        events = self._events(source)
        codes, order = self._source_codes(source, by)
        search = Search(codes, events.known[order], self._questions(by))
        prefixes: dict[tuple[str | None, int], Prefix] = {}
        columns: dict[str, pl.Series] = {}
        for feature in members:
            if isinstance(feature, Last):
                columns[feature.name] = last(feature, events.rows, order, search)
                continue
            if isinstance(feature, Agg) and feature.fn == "distinct":
                columns[feature.name] = distinct(feature, events.rows, order, search)
                continue
            slot = (feature.value, feature.scale)
            if slot not in prefixes:
                prefixes[slot] = Prefix.of(events.rows, order, feature)
            prefix = prefixes[slot]
            if isinstance(feature, Agg):
                columns[feature.name] = aggregate(feature, prefix, search)
            else:
                columns[feature.name] = exponential(feature, prefix, search)
        return columns

    def _open(self, feature: Open) -> pl.Series:
        """Every item adds +1 when it starts to count, -1 when it ends; a question sums what came before."""
        by = key_columns(feature.by)
        items = self._items(feature.due, feature.until, feature.value)
        codes, order = self._source_codes(feature.due, by)
        due = items.due[order]
        start, end = due + microseconds(feature.after), due + microseconds(feature.window)
        open_until = np.clip(items.closed[order], start, end)
        questions = self._questions(by)
        n, due_sum = standing(start, open_until, due, codes, questions)
        if feature.fn == "count":
            return masked(n, ~questions.missing)
        age = questions.times * n - due_sum
        if feature.fn == "mean_age":
            return masked(age / np.maximum(n * MINUTE, 1), (n > 0) & ~questions.missing)
        n_closed, state = standing(open_until, end, items.value[order], codes, questions)
        n += n_closed
        return masked((age + state * MINUTE) / np.maximum(n * MINUTE, 1), (n > 0) & ~questions.missing)

    def _read_source_codes(self, source: Source, by: tuple[str, ...]) -> tuple[Ints, Ints]:
        """Key codes of the rows that have a key, sorted by key and time, and the positions of those rows."""
        events = self._events(source)
        codes = self._codes(events.rows, by, f"source {source.name!r}")
        keyed = np.flatnonzero(codes >= 0)
        order = keyed[sorted_rows(codes[keyed], events.known[keyed])]
        return codes[order], order

    def _static(self, feature: Static) -> pl.Series:
        table = self._table(feature.table, [feature.by, feature.value], f"feature {feature.name!r}")
        if table[feature.by].is_duplicated().any():
            raise FeatureError(
                f"static table {feature.table!r} has several rows with the same {feature.by!r}.",
                hint="A Static feature needs one row per key; use Last for values that change.",
            )
        values = table.select(pl.col(feature.by).alias("__key"), pl.col(feature.value).alias("__value"))
        asked = self._rows.select(feature.by)
        joined = asked.join(values, left_on=feature.by, right_on="__key", how="left", maintain_order="left")
        return joined["__value"]

    def _read_events(self, source: Source) -> "_Events":
        needed = [source.at, *source.key]
        table = self._table(source.table, needed, f"source {source.name!r}")
        rows = table.filter(pl.col(source.at).is_not_null())
        unidentified = sum(rows[column].null_count() for column in source.key)
        if unidentified:
            raise FeatureError(
                f"{unidentified} rows of source {source.name!r} have no value in its key {source.key}.",
                hint="Repair or reject them in preparation; a row must be identifiable.",
            )
        told = [name for name in told_columns(self._features, source) if name in rows.columns]
        if rows.select({source.at, *source.key}).is_duplicated().any():
            rows = rows.unique(told, keep="first", maintain_order=True)  # a row told twice is one row
        rows = rows.sort(source.key)  # rows known at the same moment follow their key, here and online
        at = _microseconds(rows[source.at], f"{source.at!r} of source {source.name!r}")
        known = at + microseconds(source.lag)
        return _Events(rows, known)

    def _read_items(self, due: Source, until: Source, value: str | None) -> "_Items":
        events, closings = self._events(due), self._events(until)
        if events.rows.select(due.key).is_duplicated().any():
            raise FeatureError(
                f"source {due.name!r} has items with the same key {due.key}.",
                hint="An open item must be identifiable; widen the key or reject the doubles.",
            )
        state = pl.col(value).cast(pl.Int64).fill_null(0) if value else pl.lit(0, pl.Int64)
        ends = (
            closings.rows.with_columns(__closed=pl.Series(closings.known))
            .select(*until.key, "__closed", __value=state)
            .sort("__closed", "__value")
            .unique(list(until.key), keep="first", maintain_order=True)
        )
        joined = events.rows.join(ends, on=list(due.key), how="left", maintain_order="left")
        never = np.iinfo(np.int64).max
        return _Items(
            events.known,
            joined["__closed"].fill_null(never).to_numpy(),
            joined["__value"].fill_null(0).to_numpy(),
        )

    def _read_questions(self, by: tuple[str, ...]) -> Questions:
        return Questions.of(self._codes(self._rows, by, "the spine"), self._asked)

    def _codes(self, frame: pl.DataFrame, by: tuple[str, ...], what: str) -> Ints:
        """A whole number per key, the same in every table; -1 where a part of the key is missing."""
        require_columns(frame, by, f"{what} (as a key of features)")
        if not by:
            return np.zeros(frame.height, dtype=np.int64)
        known = self._dictionary(by)
        found = frame.select(by).join(known, on=list(by), how="left", maintain_order="left")["code"]
        return found.fill_null(-1).to_numpy()

    def _read_dictionary(self, by: tuple[str, ...]) -> pl.DataFrame:
        tables = [self._rows, *(t for t in self._tables.values() if set(by) <= set(t.columns))]
        for column in by:
            types = {table[column].dtype for table in tables}
            if len(types) > 1:
                raise FeatureError(
                    f"column {column!r} is a key of features but has several types: {types}.",
                    hint="Give it one type in every table where it is a key.",
                )
        keys = pl.concat([table.select(by).unique() for table in tables]).unique().drop_nulls()
        return keys.sort(by).with_columns(code=pl.int_range(pl.len(), dtype=pl.Int64))

    def _table(self, name: str, needed: Sequence[str], wanted_by: str) -> pl.DataFrame:
        if name not in self._tables:
            raise FeatureError(
                f"{wanted_by} reads table {name!r}; given: {', '.join(sorted(self._tables)) or 'none'}.",
                hint="Declare the table as a data set of the use case.",
            )
        require_columns(self._tables[name], needed, f"table {name!r} (read by {wanted_by})")
        return self._tables[name]


@dataclass(frozen=True)
class _Events:
    """Rows of a source that happened, in order of their key, and when each was known (microseconds)."""

    rows: pl.DataFrame
    known: Ints


@dataclass(frozen=True)
class _Items:
    """Items of an `Open` feature: when due, when closed, and the value they were closed with."""

    due: Ints
    closed: Ints
    value: Ints


def _typed(spine: pl.DataFrame, declared: Spine) -> pl.DataFrame:
    """The spine with facts in full width, so that calculations on them do not wrap around."""
    for name, kind in declared.facts.items():
        if kind == "time":
            _microseconds(spine[name], f"fact {name!r}")
    full = {"int": pl.Int64, "float": pl.Float64}
    wanted = {name: full[kind] for name, kind in declared.facts.items() if kind in full}
    return spine.with_columns(pl.col(name).cast(dtype) for name, dtype in wanted.items())


def _microseconds(times: pl.Series, what: str) -> Ints:
    if times.dtype != pl.Datetime("us", "UTC"):
        raise FeatureError(
            f"{what} is {times.dtype}; allowed: Datetime(us, UTC).",
            hint="Convert it where the table is cleaned.",
        )
    return times.to_physical().to_numpy()
