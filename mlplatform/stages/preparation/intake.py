"""How a row of a source reaches the logs: every column read once, every number made once, then added.

All that can fail is done before the first log is touched, so a refused row has no effect. It must not
know how features are read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlplatform.errors import FeatureError
from mlplatform.stages.preparation.declarations import Source
from mlplatform.stages.preparation.durations import microseconds
from mlplatform.stages.preparation.logs import Facts, Shelves, key_reader, tuple_reader
from mlplatform.stages.preparation.open_items import OpenItems
from mlplatform.stages.preparation.windows import KnownGroup, Slot, parts_of_number

Read = Callable[[Any], Any]
Place = tuple[tuple[str, ...], Shelves, int]
Bound = tuple[Read, Callable[[Any], list[Any]], int, Read, Read, Read]


@dataclass(frozen=True)
class KnownIntake:
    """Where rows of a source go for one group of aggregates and last values."""

    group: KnownGroup
    by: tuple[str, ...]
    shelves: Shelves
    place: int


@dataclass(frozen=True)
class ItemIntake:
    """Where rows go that tell of items (`places`), or close them (`values`)."""

    items: OpenItems
    places: Sequence[Place] = ()
    values: Sequence[str] = ()


@dataclass
class SourceIntake:
    """Takes the rows of one source; `bind` once all its users are known."""

    source: Source
    known: list[KnownIntake] = field(default_factory=list)
    items: list[ItemIntake] = field(default_factory=list)
    closings: list[ItemIntake] = field(default_factory=list)

    def bind(self) -> None:
        """Turn names of columns into positions in one list of facts, which is what `take` works on.

        The list holds the columns, then four parts per number, then the row's key.
        """
        slots = [slot for user in self.known for slot in (*user.group.sums, *user.group.columns)]
        numbers = list(dict.fromkeys((column, scale) for column, scale, _ in slots))
        self._columns = self._columns_used()
        self._lag = microseconds(self.source.lag)
        self._read = tuple_reader(self._columns)
        self._item = tuple_reader(self._positions(self.source.key))
        self._numbers = [(self._columns.index(column), scale) for column, scale in numbers]
        self._known = [self._bound(user, numbers) for user in self.known]
        self._items = [
            (item.items.tell, [(key_reader(self._positions(by)), s.at, p) for by, s, p in item.places])
            for item in self.items
        ]
        self._closings = [(item.items.close, self._positions(item.values)) for item in self.closings]

    def take(self, row: Facts) -> None:
        """Put a row where it belongs.

        Raises
        ------
        FeatureError
            if it lacks a column, its key is incomplete, or a value is not a number.
        """
        try:
            facts = self._read(row)
            if facts[0] is None:
                return
            known, item = facts[0] + self._lag, self._item(facts)
            if None in item:
                raise self._unidentified()
            for position, scale in self._numbers:
                facts += parts_of_number(facts[position], scale)
            facts += (item,)
            states = [
                (close, tuple([int(facts[value] or 0) for value in values]))
                for close, values in self._closings
            ]
        except KeyError as error:
            raise FeatureError(
                f"an event of source {self.source.name!r} has no column {error}; it has: {', '.join(row)}.",
                hint="Send every column the features of this source read.",
            ) from error
        except (TypeError, ValueError) as error:
            raise FeatureError(
                f"an event of source {self.source.name!r} has a value that is not a number: {error}.",
                hint="Repair or reject the row before it is sent; columns that are aggregated hold numbers.",
            ) from error
        for key_of, at, place, sums, values, kept in self._known:
            key = key_of(facts)
            if key is not None:
                at(key)[place].add(known, sums(facts), values(facts), kept(facts))
        for tell, places in self._items:
            keyed = [(at, key_of(facts), place) for key_of, at, place in places]
            tell(item, known, [at(key)[place] for at, key, place in keyed if key is not None])
        for close, state in states:
            close(item, known, state)

    def _columns_used(self) -> list[str]:
        """The clock first, then every column that is a key or a value, each once."""
        used = [*self.source.key]
        for user in self.known:
            slots = (*user.group.sums, *user.group.columns)
            used += [*user.by, *(column for column, _, _ in slots), *user.group.kept]
        used += [column for item in self.items for by, _, _ in item.places for column in by]
        used += [value for item in self.closings for value in item.values]
        return list(dict.fromkeys([self.source.at, *used]))

    def _positions(self, columns: Sequence[str]) -> list[int]:
        return [self._columns.index(column) for column in columns]

    def _bound(self, user: KnownIntake, numbers: list[tuple[str, int]]) -> Bound:
        def position(slot: Slot) -> int:
            column, scale, part = slot
            return len(self._columns) + 4 * numbers.index((column, scale)) + part

        order = len(self._columns) + 4 * len(numbers)
        sums = tuple_reader([position(slot) for slot in user.group.sums])
        values = tuple_reader([position(slot) for slot in user.group.columns])
        kept = tuple_reader([order, *self._positions(user.group.kept)] if user.group.ordered else [])
        return key_reader(self._positions(user.by)), user.shelves.at, user.place, sums, values, kept

    def _unidentified(self) -> FeatureError:
        return FeatureError(
            f"an event of source {self.source.name!r} has no value in its key {self.source.key}.",
            hint="Repair or reject it; a row must be identifiable.",
        )
