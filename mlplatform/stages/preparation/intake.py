"""How a row of a source reaches the logs: every column read once, every number made once, then added.

The code is written for the source and compiled. All that can fail is done before the first log is touched, so
a refused row has no effect; a row told again, equal in every column used, has none either. It must not know
how features are read.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mlplatform.errors import FeatureError
from mlplatform.stages.preparation.compiled import Code, tuple_of
from mlplatform.stages.preparation.declarations import Source
from mlplatform.stages.preparation.durations import microseconds
from mlplatform.stages.preparation.logs import Facts, Shelves
from mlplatform.stages.preparation.open_items import OpenItems
from mlplatform.stages.preparation.windows import (
    AS_IT_IS,
    COUNT,
    LARGEST_NUMBER,
    SQUARES,
    TOTAL,
    KnownGroup,
    Slot,
    whole,
)

Place = tuple[tuple[str, ...], Shelves, int]
REMEMBERED = 2048
"""Of each key, readings kept for the next question of the same time."""
Columns = dict[str, str]
"""Per column the variable that holds its value."""


@dataclass(frozen=True)
class KnownIntake:
    """Where rows of a source go for one group of aggregates and last values."""

    group: KnownGroup
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
    columns: Sequence[str]
    known: list[KnownIntake] = field(default_factory=list)
    items: list[ItemIntake] = field(default_factory=list)
    closings: list[ItemIntake] = field(default_factory=list)

    def bind(self) -> None:
        """Write and compile what takes a row."""
        self._told: dict[tuple[Any, ...], int] = {}
        code = Code()
        columns = {name: code.set(f"row[{name!r}]") for name in self.columns}
        at = columns[self.source.at]
        code.add(f"if {at} is None: return")
        known = code.set(f"{at} + {microseconds(self.source.lag)}")
        parts = [columns[name] for name in self.source.key]
        item = code.set(tuple_of(parts))
        code.add(
            f"if {' or '.join(f'{part} is None' for part in parts)}: raise {code.value(self)}.unidentified()"
        )
        told, known_of = code.set(tuple_of(list(columns.values()))), code.value(self._told)
        numbers = self._write_numbers(code, columns)
        states = [code.set(_write_state(code, [columns[v] for v in user.values])) for user in self.closings]
        before = code.set(f"len({known_of})")
        code.add(f"{known_of}[{told}] = {known}")
        code.add(f"if len({known_of}) == {before}: return")
        for user in self.known:
            _write_known(code, user, columns, numbers, known, item)
        for told_of in self.items:
            _write_telling(code, told_of, columns, known, item)
        for closed, state in zip(self.closings, states, strict=True):
            code.add(f"{code.value(closed.items.close)}({item}, {known}, {state})")
        self._take = code.function("row")

    def take(self, row: Facts) -> None:
        """Put a row where it belongs.

        Raises
        ------
        FeatureError
            if it lacks a column, its key is incomplete, or a value is not a number that can be summed.
        """
        try:
            self._take(row)
        except KeyError as error:
            raise FeatureError(
                f"an event of source {self.source.name!r} has no column {error}; it has: {', '.join(row)}.",
                hint="Send every column the features of this source read.",
            ) from error
        except (TypeError, ValueError, OverflowError) as error:
            raise FeatureError(
                f"an event of source {self.source.name!r} has a value that is not a number: {error}.",
                hint="Repair or reject the row before it is sent; columns that are aggregated hold numbers.",
            ) from error

    def drop_before(self, moment: int) -> None:
        """Forget having been told of rows that no question from `moment` on can reach."""
        horizon = moment - max((user.group.reach_us for user in self.known), default=0)
        for row in [row for row, known in self._told.items() if known <= horizon]:
            del self._told[row]

    def _write_numbers(self, code: Code, columns: Columns) -> dict[Slot, str]:
        """What logs hold of each number: presence, the whole number and its square, 0 if missing; or None."""
        slots = dict.fromkeys(slot for user in self.known for slot in (*user.group.sums, *user.group.columns))
        found: dict[Slot, str] = {slot: columns[slot[0]] for slot in slots if slot[2] == AS_IT_IS}
        for slot in slots:
            if slot[1:] == (0, COUNT):
                found[slot] = code.set(f"0 if {columns[slot[0]]} is None else 1")
        for column, scale in dict.fromkeys(slot[:2] for slot in slots if slot[1]):
            value = columns[column]
            number = code.set(write_whole(code, value, scale))
            parts = [f"0 if {number} is None else {of}" for of in ("1", number, f"{number} * {number}")]
            for part, source in zip((COUNT, TOTAL, SQUARES), parts, strict=True):
                if (column, scale, part) in slots:
                    found[(column, scale, part)] = code.set(source)
            found |= {slot: number for slot in slots if slot[:2] == (column, scale) and slot not in found}
        return found

    def unidentified(self) -> FeatureError:
        """The refusal of a row whose key is incomplete."""
        return FeatureError(
            f"an event of source {self.source.name!r} has no value in its key {self.source.key}.",
            hint="Repair or reject it; a row must be identifiable.",
        )


def _write_state(code: Code, values: Sequence[str]) -> str:
    return tuple_of([f"({write_whole(code, value)}) or 0" for value in values]) if values else "()"


def write_whole(code: Code, value: str, scale: int = 1) -> str:
    """The source of `whole` of a value, None if it is missing; small whole numbers are not worth a call."""
    inside = f"type({value}) is int and {-LARGEST_NUMBER} < {value} < {LARGEST_NUMBER}"
    plain = f"{value} if {inside} else " if scale == 1 else ""
    return f"{plain}None if {value} is None else {code.value(whole)}({value}, {scale})"


def write_key(code: Code, by: Sequence[str], columns: Columns) -> tuple[str, str]:
    """The source of the condition that a row has this key, and of the key: of one column the value itself."""
    parts = [columns[name] for name in by]
    there = " and ".join(f"{part} is not None" for part in parts) or "True"
    return there, parts[0] if len(parts) == 1 else tuple_of(parts) if parts else "()"


def _write_shelf(code: Code, shelves: Shelves, key: str) -> str:
    get, new = code.value(shelves.get), code.value(shelves.new)
    return f"({get}({key}) or {new}({key}))"


def _write_known(
    code: Code, user: KnownIntake, columns: Columns, numbers: dict[Slot, str], known: str, item: str
) -> None:
    """Append where the row is the newest of its log, which is nearly always; else insert."""
    there, key = write_key(code, user.shelves.by, columns)
    group = user.group
    sums, values = [numbers[s] for s in group.sums], [numbers[c] for c in group.columns]
    kept = tuple_of([item, *[columns[name] for name in group.kept]]) if group.ordered else "()"
    with code.block(f"if {there}"):
        key = code.set(key)
        log = code.set(f"{_write_shelf(code, user.shelves, key)}[{user.place}]")
        times = code.set(f"{log}.times")
        with code.block(f"if {times} and {known} {'<=' if group.ordered else '<'} {times}[-1]"):
            code.add(
                f"{log}.insert({known}, {tuple_of(sums) if sums else '()'}, "
                f"{tuple_of(values) if values else '()'}, {kept})"
            )
        with code.block("else"):
            code.add(f"{times}.append({known})")
            if sums:
                so_far = code.set(f"{log}.sums")
                last = code.set(f"{so_far}[-1]")
                added = tuple_of([f"{last}[{place}] + {number}" for place, number in enumerate(sums)])
                code.add(f"{so_far}.append({added})")
            for place, value in enumerate(values):
                code.add(f"{log}.columns[{place}].append({value})")
            if group.ordered:
                code.add(f"{log}.kept.append({kept})")


def _write_telling(code: Code, user: ItemIntake, columns: Columns, known: str, item: str) -> None:
    logs = code.set("[]")
    for by, shelves, place in user.places:
        there, key = write_key(code, by, columns)
        with code.block(f"if {there}"):
            key = code.set(key)
            code.add(f"{logs}.append({_write_shelf(code, shelves, key)}[{place}])")
    code.add(f"{code.value(user.items.tell)}({item}, {known}, {logs})")


def write_reading(
    code: Code, shelves: Shelves, groups: Sequence[tuple[int, Any]], columns: Columns, found: Columns
) -> None:
    """The code that reads all groups of one key at time `asked` into the variables `found`.

    The reading is a function of its own (Python is slower with variables beyond the 256th), and what it gave
    is remembered until `version` tells of another row: many questions share a time and, say, an airport.
    """
    nothing = {name: value for _, group in groups for name, value in group.nothing.items()}
    reading = Code()
    values = {name: reading.variable() for name in nothing}
    for place, group in groups:
        group.write(reading, reading.set(f"shelf[{place}]"), values)
    reading.add(f"return {tuple_of([*values.values(), 'version'])}")
    read = code.value(reading.function("asked, shelf, version"))
    floats = {name for _, group in groups for name in group.floats}
    names = [code.float_(found[name]) if name in floats else found[name] for name in nothing]
    there, key = write_key(code, shelves.by, columns)
    kept = code.value({})
    code.add(f"question = asked, {key}")
    code.add(f"values = {kept}.get(question)")
    with code.block("if values is None or values[-1] != version"):
        code.add(f"shelf = {code.value(shelves.get)}({key})")
        with code.block("if shelf is not None"):
            code.add(f"if len({kept}) >= {REMEMBERED}: {kept}.clear()")
            code.add(f"values = {kept}[question] = {read}(asked, shelf, version)")
        with code.block(f"elif {there}"):
            code.add(f"values = {(*nothing.values(), 0)!r}")
        with code.block("else"):
            code.add(f"values = {(None,) * (len(nothing) + 1)!r}")
    code.add(f"{', '.join(names)}, _ = values")
