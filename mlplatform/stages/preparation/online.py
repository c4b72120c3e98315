"""The online executor: the same features event by event, in memory, in plain Python.

Per key there is a shelf of logs: known times in order, with prefix sums of whole numbers beside them. A
window is two bisects and one float step, the same that `batch.py` takes, so the values agree to the bit.
What was read of a key is remembered until the next row, for questions of the same time.
Late and re-ordered events are inserted where they belong. It must not read a clock: `advance` says what
time it is, and drops what no window can reach any more.

Times are microseconds since 1970 (UTC, int); values are plain Python, missing is None.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mlplatform.errors import FeatureError
from mlplatform.stages.preparation.compiled import Code
from mlplatform.stages.preparation.declarations import (
    SEPARATOR,
    Agg,
    Category,
    ExponentialMean,
    FeatureSet,
    Last,
    Open,
    Row,
    Source,
    Static,
    TargetRate,
    Windowed,
    key_columns,
    told_columns,
)
from mlplatform.stages.preparation.durations import microseconds
from mlplatform.stages.preparation.intake import ItemIntake, KnownIntake, SourceIntake, write_reading
from mlplatform.stages.preparation.logs import Facts, Shelves
from mlplatform.stages.preparation.open_items import OpenGroup, OpenItems
from mlplatform.stages.preparation.windows import KnownGroup


class OnlineFeatures:
    """The state of one feature set: takes events, answers vectors for any time within reach.

    Questions may come late: up to `grace` older than the time `advance` told they are answered exactly. A row
    told twice counts once. Several threads may tell and ask at once: each call is done whole.
    """

    def __init__(self, feature_set: FeatureSet, *, grace: str = "1d") -> None:
        self.feature_set = feature_set
        self._grace_us = microseconds(grace)
        self.now_us = 0
        self._prune_at = 0
        self._kept_from: int | None = None
        self._retention_us = feature_set.retention_us
        self._lock = threading.Lock()
        self._version = 0
        """Another one after every row, so that nothing read before is taken for what would be read now."""
        self._as_of = feature_set.spine.as_of.python()
        self._shelves: dict[tuple[str, ...], Shelves] = {}
        self._groups: dict[tuple[str, ...], list[tuple[int, KnownGroup | OpenGroup]]] = {}
        self._open_items: list[OpenItems] = []
        self._statics: dict[str, list[tuple[str, str, dict[Any, Any]]]] = {}
        self._sources = self._plan_sources()
        self._vector = self._compiled()

    @property
    def keys(self) -> int:
        """Keys that something is remembered of, over all groupings."""
        return sum(map(len, list(self._shelves.values())))

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
        with self._lock:
            self._version += 1
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
            with self._lock:
                values.clear()
                values.update(fresh)

    def advance(self, now_us: int) -> None:
        """Say what time it is: rows that no question from `grace` before now on can reach are dropped.

        Dropping visits every log, so it is done once in a 64th of the retention and costs next to nothing.
        """
        with self._lock:
            self.now_us = max(self.now_us, now_us)
            if self.now_us >= self._prune_at:
                self._prune_at = self.now_us + self._retention_us // 64
                self._drop_before(self.now_us - self._grace_us)

    def _drop_before(self, moment: int) -> None:
        self._kept_from = moment
        self._version += 1
        for shelves in self._shelves.values():
            shelves.drop_before(moment)
        for items in self._open_items:
            items.drop_before(moment)
        for source in self._sources.values():
            source.drop_before(moment)

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
        try:
            asked = self.as_of(facts)
        except KeyError as error:
            raise self._lacking(facts, error) from error
        return self.vector_at(asked, facts)

    def vector_at(self, asked: int, facts: Facts) -> list[Any]:
        """`vector` for facts whose time (`as_of`) is known already.

        Raises
        ------
        FeatureError
            if a fact is not given, or the question is about a time whose rows were dropped.
        """
        with self._lock:
            if self._kept_from is not None and asked < self._kept_from:
                raise self._too_old(asked)
            try:
                return self._vector(asked, facts, self._version)
            except KeyError as error:
                raise self._lacking(facts, error) from error

    def _lacking(self, facts: Facts, error: KeyError) -> FeatureError:
        return FeatureError(
            f"the question has no fact {error}; it has: {', '.join(facts)}.",
            hint=f"Send every fact of the spine: {', '.join(self.feature_set.spine.facts)}.",
        )

    def _too_old(self, asked: int) -> FeatureError:
        return FeatureError(
            f"the question is as of {asked} µs; rows are kept for questions from {self._kept_from} µs on.",
            hint="Compute features of the past with the batch executor.",
        )

    def _at(self, by: tuple[str, ...]) -> Shelves:
        return self._shelves.setdefault(by, Shelves(by))

    def _join(self, by: tuple[str, ...], group: KnownGroup | OpenGroup) -> int:
        place = self._at(by).join(group.new, group.reach_us)
        self._groups.setdefault(by, []).append((place, group))
        return place

    def _plan_sources(self) -> dict[str, SourceIntake]:
        """Every source with what takes its rows: aggregates and last values, items due, items closed."""
        features = self.feature_set.features
        plans = {s: SourceIntake(s, told_columns(features, s)) for s in self.feature_set.sources}
        known: dict[tuple[Source, tuple[str, ...]], list[Windowed]] = {}
        open_: dict[tuple[Source, Source], list[Open]] = {}
        for feature in features:
            if isinstance(feature, Agg | ExponentialMean | Last):
                known.setdefault((feature.source, key_columns(feature.by)), []).append(feature)
            elif isinstance(feature, Open):
                open_.setdefault((feature.due, feature.until), []).append(feature)
        for (source, by), members in known.items():
            group = KnownGroup(members)
            plans[source].known.append(KnownIntake(group, self._at(by), self._join(by, group)))
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
            places.append((by, self._at(by), self._join(by, OpenGroup(members, values))))
        due.items.append(ItemIntake(items, places=places))
        until.closings.append(ItemIntake(items, values=values))

    def _compiled(self) -> Callable[[int, Facts, int], list[Any]]:
        """The function of a vector: what looks at other rows key by key, then rows in their order."""
        code, spine = Code(), self.feature_set.spine
        columns = {name: code.set(f"row[{name!r}]") for name in spine.facts}
        found = {**columns, "as_of": "asked"}
        found |= {
            f.name: code.variable() for f in self.feature_set.features if not isinstance(f, Row | Category)
        }
        for by, groups in self._groups.items():
            write_reading(code, self._at(by), groups, found, found)
        for feature in self.feature_set.features:
            match feature:
                case Static():
                    values: dict[Any, Any] = {}
                    self._statics.setdefault(feature.table, []).append((feature.by, feature.value, values))
                    code.add(f"{found[feature.name]} = {code.value(values.get)}({found[feature.by]})")
                case Row():
                    found[feature.name] = feature.expression.write(code, found)
                case Category():
                    found[feature.name] = columns[feature.column]
                case TargetRate():
                    parts = [columns[name] for name in key_columns(feature.columns)]
                    missing = " or ".join(f"{part} is None" for part in parts)
                    text = f" + {SEPARATOR!r} + ".join(f"str({part})" for part in parts)
                    code.add(f"{found[feature.name]} = None if {missing} else {text}")
                case _:
                    pass
        code.add(f"return [{', '.join(found[name] for name in self.feature_set.names)}]")
        return code.function("asked, row, version")
