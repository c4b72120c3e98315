"""Fills online features from the lake: the rows a service, or a store that several share, must remember.

Rows of every source table that became known as far back as any feature looks go into one memory or store; a
question from `whole_from_us` on then finds everything the batch path would find. It must not take events nor
read a clock: "now" is the newest partition.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import polars as pl

from mlplatform.errors import NotFound
from mlplatform.stages.preparation.declarations import FeatureSet, Source, Static, columns_of
from mlplatform.stages.preparation.durations import microseconds
from mlplatform.stages.preparation.online import OnlineFeatures
from mlplatform.stores.entities import Entities, entities
from mlplatform.stores.lake import Lake, Table
from mlplatform.stores.online import OnlineStore

DAY_US = 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
QUESTIONS = timedelta(days=1)
"""How long before the newest partition a question may lie."""
YOUNG = timedelta(days=3)
"""A lake that is older than what must be read by no more than this is read whole."""

Fingerprint = tuple[tuple[str, int, str], ...]
"""Per table: name, number of rows, newest partition."""


@dataclass(frozen=True)
class Memory:
    """Warmed features, or the store that holds them, and what is in them."""

    features: OnlineFeatures | OnlineStore
    fingerprint: Fingerprint
    newest: str
    whole_from_us: int | None
    """From this time (UTC, microseconds) on every question finds all it needs; None: any question does."""
    rows: Mapping[str, int]
    """Events by source, and rows by static table."""
    newest_us: int = 0
    """When the newest row of the lake became known (UTC, µs)."""
    entities: Entities | None = None
    """Facts of the newest questions by key; None in a store that several share."""

    @property
    def now_us(self) -> int:
        """When the newest row became known, also one of the stream; StoreError if a store does not answer."""
        if isinstance(self.features, OnlineFeatures):
            return max(self.newest_us, self.features.now_us)
        return max(self.newest_us, self.features.newest or 0)


def fingerprint(lake: Lake, use_case: str, feature_set: FeatureSet) -> Fingerprint:
    """What tells that the tables `feature_set` reads have got new rows.

    Raises
    ------
    NotFound
        if a table does not exist yet.
    """
    events = tables_of(feature_set)
    tables = dict.fromkeys([*events, *feature_set.statics])
    return tuple(_print(lake, Table(use_case, name), name in events) for name in tables)


def warm(lake: Lake, use_case: str, feature_set: FeatureSet, *, questions: timedelta = QUESTIONS) -> Memory:
    """A memory for questions from `questions` before the newest partition on, and later.

    Raises
    ------
    NotFound
        if a table does not exist yet or has no rows.
    """
    features = OnlineFeatures(feature_set)

    def tell(rows: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        for source, row in rows:
            features.event(source, row)

    memory = _fill(features, tell, lake, use_case, questions, lambda table: None)
    return replace(memory, entities=entities(lake, use_case, feature_set))


def fill(
    store: OnlineStore, lake: Lake, use_case: str, *, done: Callable[[str], None] = lambda table: None
) -> Memory:
    """Tell a store what `warm` would remember; rows it has already stay as they are.

    Parameters
    ----------
    done : is told the name of each table that is in.

    Raises
    ------
    NotFound
        if a table does not exist yet or has no rows.
    StoreError
        if the store does not answer.
    """
    return _fill(store, store.events, lake, use_case, QUESTIONS, done)


def replicate(store: OnlineStore, lake: Lake, use_case: str, days: Iterable[str]) -> dict[str, int]:
    """Tell a store the rows of these partitions, and the static tables; rows told by source or table.

    Raises
    ------
    NotFound
        if a table does not exist yet.
    StoreError
        if the store does not answer.
    """
    feature_set, wanted = store.feature_set, sorted(days)
    rows: dict[str, int] = {}
    for table, sources in tables_of(feature_set).items():
        columns = columns_of(feature_set.features, table)
        read = [lake.read(Table(use_case, table), columns=columns, first=day, last=day) for day in wanted]
        frame = _plain(pl.concat(read))
        rows |= {source.name: _take(store.events, source, frame) for source in sources}
    for table in feature_set.statics:
        rows[table] = _take_static(store, table, _read(lake, use_case, feature_set, table))
    return rows


def _fill(
    features: OnlineFeatures | OnlineStore,
    tell: Callable[[Iterable[tuple[str, Mapping[str, Any]]]], object],
    lake: Lake,
    use_case: str,
    questions: timedelta,
    done: Callable[[str], None],
) -> Memory:
    feature_set = features.feature_set
    printed = fingerprint(lake, use_case, feature_set)
    newest = max((partition for _, _, partition in printed), default="")
    tables = tables_of(feature_set)
    oldest = min((lake.partitions(Table(use_case, name))[0] for name in tables), default="")
    whole_from = _whole_from(oldest, newest, feature_set, questions)
    whole_from_us = None if whole_from is None else (whole_from - _EPOCH).days * DAY_US
    rows: dict[str, int] = {}
    newest_us = 0
    features.advance(whole_from_us or 0)  # said first, so that rows out of every reach need not be kept
    for table, sources in tables.items():
        frame = _plain(_read(lake, use_case, feature_set, table, whole_from))
        rows |= {source.name: _take(tell, source, frame) for source in sources}
        newest_us = max([newest_us, *(_newest(source, frame) for source in sources)])
        done(table)
    for table in feature_set.statics:
        rows[table] = _take_static(features, table, _read(lake, use_case, feature_set, table))
        done(table)
    return Memory(features, printed, newest, whole_from_us, rows, newest_us)


def warm_at(lake: Lake, use_case: str, feature_set: FeatureSet, moment_us: int) -> OnlineFeatures:
    """Features for questions from a day before `moment_us` on, with the lake's rows until a day behind it.

    For a service whose time is that of its stream, which may be of the past: what comes later, it is sent.

    Raises
    ------
    NotFound
        if a table does not exist yet.
    """
    moment = _EPOCH + timedelta(microseconds=moment_us)
    features = OnlineFeatures(feature_set)
    features.advance(moment_us)
    for table, sources in tables_of(feature_set).items():
        frame = _plain(_read(lake, use_case, feature_set, table, moment - QUESTIONS, moment + QUESTIONS))
        for source in sources:
            for told in _events(source, frame):
                features.event(*told)
    for table in feature_set.statics:
        _take_static(features, table, _read(lake, use_case, feature_set, table))
    return features


def tables_of(feature_set: FeatureSet) -> dict[str, list[Source]]:
    """Names of the tables that sources read, with those sources."""
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


def _whole_from(oldest: str, newest: str, feature_set: FeatureSet, questions: timedelta) -> datetime | None:
    """The time from which questions are to be whole; None in a lake so young that all is read."""
    if not newest:
        return None
    whole_from = datetime.combine(date.fromisoformat(newest), time(), UTC) - questions
    begin = whole_from - timedelta(microseconds=feature_set.retention_us) - YOUNG
    return None if begin.date().isoformat() <= oldest else whole_from


def _read(
    lake: Lake,
    use_case: str,
    feature_set: FeatureSet,
    table: str,
    whole_from: datetime | None = None,
    until: datetime | None = None,
) -> pl.DataFrame:
    """The columns that features read, of rows known from their reach before `whole_from` until `until`.

    Without `whole_from` all rows; without `until` no end.
    """
    columns, known = columns_of(feature_set.features, table), None
    if whole_from is not None:
        reach = {clock: timedelta(microseconds=us) for clock, us in feature_set.clocks(table).items()}
        known = {clock: (whole_from - before, until) for clock, before in reach.items()}
    return lake.read(Table(use_case, table), columns=columns, moments=known)


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    """Times as whole microseconds."""
    times = [name for name, kind in frame.schema.items() if isinstance(kind, pl.Datetime)]
    return frame.with_columns(pl.col(times).dt.timestamp("us")) if times else frame


def _take(
    tell: Callable[[Iterable[tuple[str, Mapping[str, Any]]]], object], source: Source, frame: pl.DataFrame
) -> int:
    tell(_events(source, frame))
    return int(frame[source.at].is_not_null().sum())


def _newest(source: Source, frame: pl.DataFrame) -> int:
    """When the last of a source's rows became known."""
    last = frame[source.at].max()
    return int(last) + microseconds(source.lag) if isinstance(last, int) else 0


def _events(source: Source, frame: pl.DataFrame) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """A source's rows in the order they became known: then every one goes to the end of its logs."""
    happened = frame.filter(pl.col(source.at).is_not_null()).sort(source.at, *source.key)
    return ((source.name, row) for row in _rows(happened))


def _take_static(features: OnlineFeatures | OnlineStore, table: str, frame: pl.DataFrame) -> int:
    keys = {f.by for f in features.feature_set.features if isinstance(f, Static) and f.table == table}
    kept = _plain(frame).filter(pl.any_horizontal(pl.col(sorted(keys)).is_not_null()))
    features.load_static(table, _rows(kept))
    return kept.height


def _rows(frame: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """Rows as dictionaries; columns are turned into Python values once each, ten times faster than by row."""
    names = frame.columns
    return (dict(zip(names, row, strict=True)) for row in zip(*(s.to_list() for s in frame), strict=True))
