"""The questions of days as a model takes them: keys, facts and the encoded matrix, read from the lake.

Stored features are read where they are by the definitions of the model's feature set; else they are computed
from the cleaned tables. It must not know a model.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from mlplatform.errors import NotFound
from mlplatform.stages.preparation.declarations import FactType
from mlplatform.stages.preparation.fitted import FittedFeatureSet
from mlplatform.stages.training.contract import Floats
from mlplatform.stores import own_features
from mlplatform.stores.lake import KEY, Lake, Table
from mlplatform.stores.stored_features import FEATURES, readable

_INSTANT = pl.Datetime("us", "UTC")
_KINDS: dict[FactType, pl.DataType] = {
    "string": pl.String(),
    "int": pl.Int64(),
    "float": pl.Float64(),
    "time": _INSTANT,
    "bool": pl.Boolean(),
}


@dataclass(frozen=True)
class Asked:
    """Questions in the order of their day and key."""

    rows: pl.DataFrame
    """The spine's key, `as_of` and `partition_key`."""
    facts: pl.DataFrame
    """The spine's facts, by their names and in their order."""
    types: dict[str, FactType]

    def values(self) -> Iterable[tuple[Any, ...]]:
        """Per question its facts as the online service reads them, which names an answer by them."""
        columns = [_plain(self.facts[name], kind).to_list() for name, kind in self.types.items()]
        return zip(*columns, strict=True)


class Questions:
    """Reads the questions of one fitted feature set (its JSON) for the days of a use case."""

    def __init__(self, lake: Lake, use_case: str, fitted: bytes) -> None:
        self._lake, self._use_case = lake, use_case
        self.fitted = FittedFeatureSet.from_json(fitted)
        self._set = self.fitted.feature_set
        self._stored: dict[str, bool] = {}

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that tell questions apart."""
        return tuple(self._set.spine.key)

    def counts(self, days: Sequence[str]) -> dict[str, int]:
        """Number of questions of each of the days, which come in order, each once; asked for before `read`.

        Raises
        ------
        NotFound
            if the table of the questions is missing.
        """
        wanted = sorted(set(days))
        by_model = set(readable(self._lake, self._use_case, self._set, wanted))
        counts = self._count(self._set.spine.table, wanted)
        stored = self._count(FEATURES, wanted) if by_model else {}
        self._stored = {day: day in by_model and stored.get(day, 0) > 0 for day in wanted}
        return {day: stored[day] if self._stored[day] else counts.get(day, 0) for day in wanted}

    def within(self, first: str, last: str) -> dict[str, int]:
        """`counts` of the days from `first` to `last` (both included) that have questions.

        Raises
        ------
        NotFound
            if none has, or the table of the questions is missing.
        """
        table = Table(self._use_case, self._set.spine.table)
        known = self._lake.partitions(table)
        days = [day for day in known if first <= day <= last]
        if not days:
            has = f"it has days from {known[0]} to {known[-1]}" if known else "it has no days"
            raise NotFound(
                f"{table} has no questions from {first} to {last}; {has}.",
                hint="Ask for days that have data, or materialise them first.",
            )
        return self.counts(days)

    def read(self, days: Sequence[str]) -> tuple[Asked, Floats]:
        """The questions of the days and their matrix, rows in the same order.

        Raises
        ------
        NotFound
            if the tables have no longer what the features read.
        FeatureError
            if the features cannot be computed.
        """
        read = [day for day in days if self._stored[day]]
        computed = [day for day in days if not self._stored[day]]
        parts = [*([self._read(read)] if read else []), *([self._compute(computed)] if computed else [])]
        # Each part has the day and key in front of it; equal ranks and equal files need one order of rows.
        frame = pl.concat(parts, how="diagonal").sort(KEY, *self._set.spine.key)
        spine = self._set.spine
        asked = Asked(
            rows=frame.select(*spine.key, "as_of", KEY),
            facts=frame.select(*spine.facts),
            types=dict(spine.facts),
        )
        return asked, self.fitted.matrix(frame)

    def _read(self, days: list[str]) -> pl.DataFrame:
        # Facts lie beside the features; a feature that has the name of one is the fact itself.
        spine = self._set.spine
        columns = dict.fromkeys([*spine.key, "as_of", KEY, *spine.facts, *self._set.names])
        return self._lake.read(Table(self._use_case, FEATURES), columns=list(columns), **_limits(days))

    def _compute(self, days: list[str]) -> pl.DataFrame:
        spine = self._set.spine
        table = Table(self._use_case, spine.table)
        names = list(dict.fromkeys([*spine.key, *spine.facts]))
        asked = self._lake.read(table, columns=[*names, KEY], partitions=days)
        rows = own_features.computed(self._lake, self._use_case, self._set, asked)
        return rows.with_columns(asked[KEY])

    def _count(self, name: str, days: Sequence[str]) -> dict[str, int]:
        table = Table(self._use_case, name)
        if not days:
            return {}
        if not self._lake.exists(table):
            raise NotFound(
                f"there is no table {table} yet, whose rows are to be scored.",
                hint=f"Fill it: mlplatform run {self._use_case}.",
            )
        counted = self._lake.sql(
            f'SELECT {KEY}, count(*) AS n FROM "{table.schema}"."{table.name}"'
            f" WHERE {KEY} BETWEEN ? AND ? GROUP BY 1",
            [days[0], days[-1]],
        )
        return dict(counted.iter_rows())


def _limits(days: list[str]) -> dict[str, Any]:
    """What limits a read to the days; between two of them is a fifth faster than among many."""
    first, last = date.fromisoformat(days[0]), date.fromisoformat(days[-1])
    whole = (last - first).days + 1 == len(days)
    return {"first": days[0], "last": days[-1]} if whole else {"partitions": days}


def _plain(values: pl.Series, kind: FactType) -> pl.Series:
    typed = values.cast(_KINDS[kind])
    return typed.dt.timestamp("us") if kind == "time" else typed
