"""Logs of one key each (known times in order, prefix sums beside them) and the shelves that hold them.

They must not know features; `windows.py` and `open_items.py` say what is summed and how it is read.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from operator import add, itemgetter
from typing import Any, Protocol

Key = tuple[Any, ...]
Facts = Mapping[str, Any]
Numbers = tuple[int, ...]

_WORTH_DROPPING = 256


class Log:
    """Rows of one key in order of known time.

    Beside the times: prefix sums (one tuple per row, and one before the first), columns of whole numbers for
    extremes, and for last values the rows themselves, whose first entry orders rows known at one moment.
    What no feature of the group needs stays empty.
    """

    __slots__ = ("columns", "kept", "sums", "times")

    def __init__(self, sums: int, columns: int) -> None:
        self.times: list[int] = []
        self.sums: list[Numbers] = [(0,) * sums]
        self.columns: list[list[int | None]] = [[] for _ in range(columns)]
        self.kept: list[Key] = []

    def add(self, known: int, numbers: Numbers, values: Sequence[int | None], kept: Key) -> None:
        """Insert a row where its time (and, at the same time, its order) belongs."""
        times, sums = self.times, self.sums
        if times and known <= times[-1] and (kept or known < times[-1]):
            position = self._position(known, kept)
            if position < len(times):
                self._insert(position, known, numbers, values, kept)
                return
        times.append(known)
        if numbers:
            sums.append((*map(add, sums[-1], numbers),))
        if values:
            for column, value in enumerate(values):
                self.columns[column].append(value)
        if kept:
            self.kept.append(kept)

    def _position(self, known: int, kept: Key) -> int:
        position = bisect_right(self.times, known)
        if kept:
            while position and self.times[position - 1] == known and self.kept[position - 1][0] > kept[0]:
                position -= 1
        return position

    def _insert(
        self, position: int, known: int, numbers: Numbers, values: Sequence[int | None], kept: Key
    ) -> None:
        self.times.insert(position, known)
        if numbers:
            self.sums[position + 1 :] = [(*map(add, row, numbers),) for row in self.sums[position:]]
        for column, value in zip(self.columns, values, strict=True):
            column.insert(position, value)
        if kept:
            self.kept.insert(position, kept)

    def drop_before(self, moment: int) -> bool:
        """Forget rows up to `moment` where that is worth it; True if no later row is left.

        The sums keep what they held, so that differences stay right.
        """
        position = bisect_right(self.times, moment)
        nothing_left = position == len(self.times)
        if position > _WORTH_DROPPING and position * 2 > len(self.times):
            del self.times[:position], self.sums[:position], self.kept[:position]
            for column in self.columns:
                del column[:position]
        return nothing_left


class Group(Protocol):
    """Features that share one log per key."""

    reach_us: int
    """How far back they look."""

    nothing: dict[str, Any]
    """Their values where no row was ever known."""

    def new(self) -> Any:
        """An empty log; it must have `drop_before`."""

    def read(self, log: Any, asked: int, row: dict[str, Any]) -> None:
        """Write their values at time `asked` into `row`."""


class Shelves:
    """Per key of one `by` a shelf with one log for each group, so that a question looks a key up once."""

    def __init__(self, by: tuple[str, ...]) -> None:
        self._key = key_reader(by)
        self._groups: list[Group] = []
        self._shelves: dict[Any, list[Any]] = {}
        self._nothing: dict[str, Any] = {}
        self.get = self._shelves.get

    def join(self, group: Group) -> int:
        """Give a group its place on every shelf."""
        self._groups.append(group)
        self._nothing |= group.nothing
        return len(self._groups) - 1

    def at(self, key: Any) -> list[Any]:
        """The shelf of a key, made if it is new."""
        return self.get(key) or self._new(key)

    def _new(self, key: Any) -> list[Any]:
        shelf = self._shelves[key] = [group.new() for group in self._groups]
        return shelf

    def step(self) -> Callable[[int, dict[str, Any]], None]:
        """A function that writes all features of these shelves, at time `asked`, into a row."""
        key_of, find, nothing = self._key, self._shelves.get, self._nothing
        no_key = dict.fromkeys(nothing)
        readers = [(place, group.read) for place, group in enumerate(self._groups)]

        def step(asked: int, row: dict[str, Any]) -> None:
            key = key_of(row)
            shelf = None if key is None else find(key)
            if shelf is None:
                row.update(no_key if key is None else nothing)
                return
            for place, read in readers:
                read(shelf[place], asked, row)

        return step

    def drop_before(self, moment: int) -> None:
        """Forget what no question asked from `moment` on can reach."""
        gone = []
        for key, shelf in self._shelves.items():
            left = [log.drop_before(moment - g.reach_us) for log, g in zip(shelf, self._groups, strict=True)]
            if all(left):
                gone.append(key)
        for key in gone:
            del self._shelves[key]


def key_reader(by: Sequence[Any]) -> Callable[[Any], Any]:
    """A function from a row to its key: of one column the value itself; None if a part is missing."""
    if not by:
        return lambda row: ()
    if len(by) == 1:
        return itemgetter(by[0])
    parts = itemgetter(*by)

    def key(row: Any) -> Any:
        found = parts(row)
        return None if None in found else found

    return key


def tuple_reader(columns: Sequence[Any]) -> Callable[[Any], tuple[Any, ...]]:
    """A function from a row to the tuple of these columns, however few."""
    if len(columns) > 1:
        return itemgetter(*columns)
    if columns:
        column = columns[0]
        return lambda row: (row[column],)
    return lambda row: ()
