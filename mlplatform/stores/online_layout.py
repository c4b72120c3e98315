"""Which rows of a feature set lie under which keys of a server, and how a row is written as bytes.

Per source and key columns (a group) there is one sorted set for each key's values, scored by known time,
whose members are the rows themselves; closings of open items lie under their item, as they carry nothing
else. It must not talk to a server; `online_valkey.py` does.

The layout's id is part of every key: feature sets that keep the same columns of the same sources for the same
time share rows, any other has its own. So one never drops, or lacks a column of, what another needs.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from mlplatform.errors import FeatureError, StoreError
from mlplatform.stages.preparation.declarations import (
    CLOSED_BEFORE_US,
    Agg,
    ExponentialMean,
    FeatureSet,
    Last,
    Open,
    Source,
    Static,
    columns_of,
    key_columns,
    reach_us,
    told_columns,
)
from mlplatform.stages.preparation.durations import microseconds

_EXACT = 2**53
"""Scores are doubles: whole numbers below this are exact."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Any]).decode


@dataclass(frozen=True)
class Group:
    """The rows of one source by one key, as far back as any feature of them looks."""

    name: str
    by: tuple[str, ...]
    reach_us: int
    closed_by: tuple[tuple[str, int], ...] = ()
    """Of items: the groups of their closings, and how far back items are looked at for each."""

    def key(self, prefix: bytes, facts: Mapping[str, Any]) -> bytes | None:
        """The key of the facts' sorted set; None if a part is missing."""
        return self.key_of(prefix, [facts[column] for column in self.by])

    def key_of(self, prefix: bytes, values: Sequence[Any]) -> bytes | None:
        """The key of these values of `by`; None also if no row can have them, as they cannot be written."""
        try:
            return None if None in values else b"%b:%b:%b" % (prefix, self.name.encode(), key_bytes(values))
        except StoreError:
            return None

    def index(self, prefix: bytes) -> bytes:
        """The key of the list of all sorted sets of this group, each with the time of its newest row."""
        return b"%b:%b:index" % (prefix, self.name.encode())


class Kept:
    """What is kept of one source."""

    def __init__(self, source: Source, columns: tuple[str, ...], numbers: frozenset[str]) -> None:
        self.source, self.columns, self.numbers = source, columns, numbers
        self.groups: list[Group] = []
        self.closes: Group | None = None
        self._lag = microseconds(source.lag)
        self._item = [columns.index(column) for column in source.key]

    @property
    def places(self) -> Sequence[Group]:
        """Every group a row belongs to."""
        return [*self.groups, *([self.closes] if self.closes else [])]

    def known(self, values: Sequence[Any]) -> int:
        """When a row became known; the clock is the first column."""
        moment: int = values[0] + self._lag
        return moment

    def item(self, values: Sequence[Any]) -> list[Any]:
        """The values of the source key."""
        return [values[place] for place in self._item]

    def values(self, row: Mapping[str, Any]) -> list[Any] | None:
        """What is kept of a row, in the order of `columns`; None if it has no time and so is no event.

        Raises
        ------
        FeatureError
            if it lacks a column, its key is incomplete, or a value that is calculated with is no number.
        """
        try:
            values = [_plain(row[column]) for column in self.columns]
        except KeyError as error:
            raise FeatureError(
                f"an event of source {self.source.name!r} has no column {error}; it has: {', '.join(row)}.",
                hint="Send every column the features of this source read.",
            ) from error
        if values[0] is None:
            return None
        self._check(values)
        return values

    def _check(self, values: Sequence[Any]) -> None:
        name = self.source.name
        if None in self.item(values):
            raise FeatureError(
                f"an event of source {name!r} has no value in its key {self.source.key}.",
                hint="Repair or reject it; a row must be identifiable.",
            )
        for column, value in zip(self.columns, values, strict=True):
            needed = column in self.numbers and value is not None
            if needed and not (isinstance(value, int | float) and math.isfinite(value)):
                raise FeatureError(
                    f"an event of source {name!r} has a value that is not a number: {column} is {value!r}.",
                    hint="Repair or reject the row before it is sent; columns that are aggregated hold "
                    "numbers.",
                )
        if not (isinstance(values[0], int) and abs(self.known(values)) < _EXACT):
            raise FeatureError(
                f"an event of source {name!r} has the time {values[0]!r}; allowed: microseconds since 1970.",
                hint="Send times as whole microseconds, UTC.",
            )


class Layout:
    """What a feature set keeps, by source, and under which keys."""

    NEWEST, KEPT_FROM = b"newest", b"kept from"
    """Members of `marks`, the times of the store as a whole."""

    def __init__(self, feature_set: FeatureSet, namespace: str) -> None:
        self.kept = {source.name: _kept(feature_set, source) for source in feature_set.sources}
        self.statics = {table: columns_of(feature_set.features, table) for table in feature_set.statics}
        self.static_keys = list(
            dict.fromkeys((f.table, f.by) for f in feature_set.features if isinstance(f, Static))
        )
        self._plan(feature_set)
        plans = [(kept.source, kept.columns, kept.places) for kept in self.kept.values()]
        told = _encode([plans, self.statics, self.static_keys])
        # The braces put all keys of a use case on one node of a cluster, where they can change together.
        self.prefix = f"mlplatform:{{{namespace}}}:{hashlib.sha256(told).hexdigest()[:12]}".encode()
        self.marks, self.positions = self.prefix + b":marks", self.prefix + b":positions"

    def static_key(self, table: str, by: str) -> bytes:
        """The key of the hash of a static table by one column."""
        return b"%b:static:%b" % (self.prefix, f"{table}:{by}".encode())

    def _plan(self, feature_set: FeatureSet) -> None:
        found: dict[tuple[str, tuple[str, ...]], int] = {}
        closed: dict[tuple[str, tuple[str, ...]], dict[str, int]] = {}
        for f in feature_set.features:
            if not isinstance(f, Agg | ExponentialMean | Last | Open):
                continue
            source = f.due if isinstance(f, Open) else f.source
            place = (source.name, key_columns(f.by))
            found[place] = max(found.get(place, 0), reach_us(f))
            if isinstance(f, Open):
                reaches = closed.setdefault(place, {})
                reaches[f.until.name] = max(reaches.get(f.until.name, 0), reach_us(f))
        for (name, by), reach in found.items():
            ends = tuple(closed.get((name, by), {}).items())
            self.kept[name].groups.append(Group(f"{name}:{','.join(by)}", by, reach, ends))
        for until in {name for ends in closed.values() for name in ends}:
            longest = max(ends[until] for ends in closed.values() if until in ends)
            kept = self.kept[until]
            kept.closes = Group(f"{until} of item", kept.source.key, longest + CLOSED_BEFORE_US)


def key_bytes(values: Sequence[Any]) -> bytes:
    """Values of key columns as bytes, the same for equal ones."""
    return written([_plain(value, key=True) for value in values])


def written(values: Sequence[Any]) -> bytes:
    """Values as bytes, the same for the same values.

    Raises
    ------
    StoreError
        if one cannot be written, such as a whole number of more than 64 bits.
    """
    try:
        return _encode(values)
    except (TypeError, ValueError, OverflowError) as error:
        raise StoreError(
            f"a row cannot be kept in the online store: {error}.",
            hint="Values are text, true/false, decimals and whole numbers of up to 64 bits.",
        ) from error


def read(member: bytes, columns: Sequence[str], *, timed: bool = False) -> list[Any]:
    """The values that `written` wrote; `timed` if the first is to be the row's time.

    Raises
    ------
    StoreError
        if these bytes are no row of these columns.
    """
    try:
        values = _decode(member)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _foreign(member) from error
    if len(values) != len(columns) or (timed and not isinstance(values[0], int)):
        raise _foreign(member)
    return values


def _foreign(member: bytes) -> StoreError:
    return StoreError(
        f"the online store holds {member[:40]!r} where a row of ours should be.",
        hint="Another program writes there: give it another database, empty this one and `mlplatform warm`.",
    )


def _kept(feature_set: FeatureSet, source: Source) -> Kept:
    columns = told_columns(feature_set.features, source)
    return Kept(source, columns, frozenset(_numbers(feature_set, source)))


def _numbers(feature_set: FeatureSet, source: Source) -> Iterator[str]:
    """The columns of a source that are calculated with."""
    for f in feature_set.features:
        counted = isinstance(f, Agg) and f.fn == "distinct"
        closes = isinstance(f, Open) and f.until == source
        known = isinstance(f, Agg | ExponentialMean) and not counted and f.source == source
        if isinstance(f, Agg | ExponentialMean | Open) and (known or closes) and f.value:
            yield f.value


def _plain(value: Any, *, key: bool = False) -> Any:
    """A value so that equal ones are written equal: 5.0 as 5 (but not -0.0); in keys also true as 1."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return int(value) if value or key or math.copysign(1, value) > 0 else value
    return int(value) if key and isinstance(value, bool) else value
