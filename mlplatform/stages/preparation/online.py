"""The online executor: the same features event by event, in memory, in plain Python.

Per key there is a shelf of logs: known times in order, with prefix sums of whole numbers beside them. A
window is two bisects and one float step, the same that `batch.py` takes, so the values agree to the bit.
Late and re-ordered events are inserted where they belong. It must not read a clock: `advance` says what
time it is, and drops what no window can reach any more.

Times are microseconds since 1970 (UTC, int); values are plain Python, missing is None.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mlplatform.errors import FeatureError
from mlplatform.stages.preparation.declarations import (
    Agg,
    Category,
    FeatureSet,
    Last,
    Open,
    Row,
    Source,
    Static,
    key_columns,
)
from mlplatform.stages.preparation.durations import microseconds
from mlplatform.stages.preparation.intake import ItemIntake, KnownIntake, SourceIntake
from mlplatform.stages.preparation.logs import Facts, Shelves, tuple_reader
from mlplatform.stages.preparation.open_items import OpenGroup, OpenItems
from mlplatform.stages.preparation.windows import KnownGroup

Step = Callable[[int, dict[str, Any]], None]


class OnlineFeatures:
    """The state of one feature set: takes events, answers vectors for any time within reach.

    Questions may come late: up to `grace` older than the time `advance` told they are answered exactly.
    """

    def __init__(self, feature_set: FeatureSet, *, grace: str = "1d") -> None:
        self.feature_set = feature_set
        self._grace_us = microseconds(grace)
        self.now_us = 0
        self._prune_at = 0
        self._kept_from: int | None = None
        self._retention_us = feature_set.retention_us
        self._values = tuple_reader(feature_set.names)
        self._as_of = feature_set.spine.as_of.python()
        self._shelves: dict[tuple[str, ...], Shelves] = {}
        self._open_items: list[OpenItems] = []
        self._statics: dict[str, list[tuple[str, str, dict[Any, Any]]]] = {}
        self._sources = self._plan_sources()
        self._steps = self._plan_steps()

    def event(self, source: str, row: Facts) -> None:
        """Take one row of a source (its columns as declared; a row without its clock is no event).

        Raises
        ------
        FeatureError
            if the source is not one of this feature set, or the row lacks a column or has a value that
            cannot be used. The row then had no effect.
        """
        taker = self._sources.get(source)
        if taker is None:
            raise FeatureError(
                f"got an event of source {source!r}; allowed: {', '.join(self._sources)}.",
                hint="The event belongs to another feature set.",
            )
        taker.take(row)

    def load_static(self, table: str, rows: Iterable[Facts]) -> None:
        """Replace the rows of a static table.

        Raises
        ------
        FeatureError
            if several rows have the same key.
        """
        kept = list(rows)
        for by, value, values in self._statics.get(table, []):
            keyed = [row for row in kept if row[by] is not None]
            fresh = {row[by]: row[value] for row in keyed}
            if len(fresh) < len(keyed):
                raise FeatureError(
                    f"static table {table!r} has several rows with the same {by!r}.",
                    hint="A Static feature needs one row per key; use Last for values that change.",
                )
            values.clear()
            values.update(fresh)

    def advance(self, now_us: int) -> None:
        """Say what time it is: rows that no question from `grace` before now on can reach are dropped.

        Dropping visits every log, so it is done once in a 64th of the retention and costs next to nothing.
        """
        self.now_us = max(self.now_us, now_us)
        if self.now_us < self._prune_at:
            return
        self._prune_at = self.now_us + self._retention_us // 64
        self._kept_from = self.now_us - self._grace_us
        for shelves in self._shelves.values():
            shelves.drop_before(self._kept_from)
        for items in self._open_items:
            items.drop_before(self._kept_from)

    def as_of(self, facts: Facts) -> int:
        """The time of the question these facts ask.

        Raises
        ------
        FeatureError
            if it cannot be computed because a fact is missing.
        """
        moment = self._as_of(facts)
        if moment is None:
            raise FeatureError(
                "the time of the question (as_of) cannot be computed: a fact it needs is missing.",
                hint=f"It needs: {', '.join(sorted(self.feature_set.spine.as_of.columns()))}.",
            )
        return int(moment)

    def vector(self, facts: Facts) -> list[Any]:
        """The features for these facts as of their question, in the order of the feature set.

        Every fact of the spine must be a key of `facts` (missing ones as None).

        Raises
        ------
        FeatureError
            if a fact is not given, or the question is about a time whose rows were dropped.
        """
        row = dict(facts)
        try:
            asked = row["as_of"] = self.as_of(facts)
            if self._kept_from is not None and asked < self._kept_from:
                raise self._too_old(asked)
            for step in self._steps:
                step(asked, row)
            return list(self._values(row))
        except KeyError as error:
            raise FeatureError(
                f"the question has no fact {error}; it has: {', '.join(facts)}.",
                hint=f"Send every fact of the spine: {', '.join(self.feature_set.spine.facts)}.",
            ) from error

    def _too_old(self, asked: int) -> FeatureError:
        return FeatureError(
            f"the question is as of {asked} µs; rows are kept for questions from {self._kept_from} µs on.",
            hint="Compute features of the past with the batch executor.",
        )

    def _at(self, by: tuple[str, ...]) -> Shelves:
        return self._shelves.setdefault(by, Shelves(by))

    def _plan_sources(self) -> dict[str, SourceIntake]:
        """Every source with what takes its rows: aggregates and last values, items due, items closed."""
        plans = {source: SourceIntake(source) for source in self.feature_set.sources}
        known: dict[tuple[Source, tuple[str, ...]], list[Agg | Last]] = {}
        open_: dict[tuple[Source, Source], list[Open]] = {}
        for feature in self.feature_set.features:
            if isinstance(feature, Agg | Last):
                known.setdefault((feature.source, key_columns(feature.by)), []).append(feature)
            elif isinstance(feature, Open):
                open_.setdefault((feature.due, feature.until), []).append(feature)
        for (source, by), members in known.items():
            group, shelves = KnownGroup(members), self._at(by)
            plans[source].known.append(KnownIntake(group, by, shelves, shelves.join(group)))
        for (due, until), items in open_.items():
            self._plan_items(items, plans[due], plans[until])
        for plan in plans.values():
            plan.bind()
        return {source.name: plan for source, plan in plans.items()}

    def _plan_items(self, features: Sequence[Open], due: SourceIntake, until: SourceIntake) -> None:
        items = OpenItems(features)
        self._open_items.append(items)
        values = list(dict.fromkeys(feature.value for feature in features if feature.value))
        by_key: dict[tuple[str, ...], list[Open]] = {}
        for feature in features:
            by_key.setdefault(key_columns(feature.by), []).append(feature)
        places = []
        for by, members in by_key.items():
            shelves = self._at(by)
            places.append((by, shelves, shelves.join(OpenGroup(members, values))))
        due.items.append(ItemIntake(items, places=places))
        until.closings.append(ItemIntake(items, values=values))

    def _plan_steps(self) -> list[Step]:
        """One step per key, then statics, then categories and rows in their order, as rows read others."""
        steps = [shelves.step() for shelves in self._shelves.values()]
        statics: list[Step] = []
        rows: list[Step] = []
        for feature in self.feature_set.features:
            match feature:
                case Static():
                    values: dict[Any, Any] = {}
                    self._statics.setdefault(feature.table, []).append((feature.by, feature.value, values))
                    statics.append(_static_step(feature, values))
                case Row():
                    rows.append(_row_step(feature))
                case Category() if feature.name != feature.column:
                    rows.append(_category_step(feature))
                case _:
                    pass
        return [*steps, *statics, *rows]


def _static_step(feature: Static, values: dict[Any, Any]) -> Step:
    name, by, find = feature.name, feature.by, values.get

    def step(asked: int, row: dict[str, Any]) -> None:
        row[name] = find(row[by])

    return step


def _row_step(feature: Row) -> Step:
    name, evaluate = feature.name, feature.expression.python()

    def step(asked: int, row: dict[str, Any]) -> None:
        row[name] = evaluate(row)

    return step


def _category_step(feature: Category) -> Step:
    name, column = feature.name, feature.column

    def step(asked: int, row: dict[str, Any]) -> None:
        row[name] = row[column]

    return step
