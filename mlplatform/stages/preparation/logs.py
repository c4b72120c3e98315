"""Logs of one key each (known times in order, prefix sums beside them) and the shelves that hold them.

They must not know features; `windows.py` and `open_items.py` say what is summed and how it is read.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from operator import add
from typing import Any, Protocol

Key = tuple[Any, ...]
Facts = Mapping[str, Any]
Numbers = tuple[int, ...]

_WORTH_DROPPING = 256


class Log:
    """Rows of one key in order of known time.

    Beside the times: prefix sums (one tuple per row, and one before the first), columns of single values, and
    for last values the rows themselves, whose first entry orders rows known at one moment. What no feature
    of the group needs stays empty.
    """

    __slots__ = ("columns", "kept", "sums", "times")

    def __init__(self, sums: int, columns: int) -> None:
        self.times: list[int] = []
        self.sums: list[Numbers] = [(0,) * sums]
        self.columns: list[list[Any]] = [[] for _ in range(columns)]
        self.kept: list[Key] = []

    def insert(self, known: int, numbers: Numbers, values: Sequence[Any], kept: Key) -> None:
        """Put a row where its time (and, at the same time, its order) belongs; intake appends the newest."""
        position = self._position(known, kept)
        self.times.insert(position, known)
        if numbers:
            before = self.sums[position]
            self.sums[position + 1 :] = [
                (*map(add, before, numbers),),
                *[(*map(add, row, numbers),) for row in self.sums[position + 1 :]],
            ]
        for column, value in zip(self.columns, values, strict=True):
            column.insert(position, value)
        if kept:
            self.kept.insert(position, kept)

    def _position(self, known: int, kept: Key) -> int:
        position = bisect_right(self.times, known)
        if kept:
            while position and self.times[position - 1] == known and self.kept[position - 1][0] > kept[0]:
                position -= 1
        return position

    def drop_before(self, moment: int) -> bool:
        """Forget rows up to `moment` where that is worth it; True if no later row is left.

        The sums keep what they held, so that differences stay right.
        """
        return drop(self.times, moment, self.sums, self.kept, *self.columns)


def drop(times: list[int], moment: int, *beside: list[Any]) -> bool:
    """Forget times up to `moment`, and what lies beside, where that is worth it; True if none is later."""
    position = bisect_right(times, moment)
    nothing_left = position == len(times)
    if position > _WORTH_DROPPING and position * 2 > len(times):
        del times[:position]
        for each in beside:
            del each[:position]
    return nothing_left


class Droppable(Protocol):
    """What a shelf holds."""

    def drop_before(self, moment: int) -> bool:
        """Forget what is known up to `moment`; True if nothing later is left."""


class Shelves:
    """Per key of one `by` a shelf with one log for each group, so that a question looks a key up once."""

    def __init__(self, by: tuple[str, ...]) -> None:
        self.by = by
        self._new: list[Callable[[], Droppable]] = []
        self._reach_us: list[int] = []
        self._shelves: dict[Any, list[Any]] = {}
        self.get = self._shelves.get

    def __len__(self) -> int:
        """Keys with a shelf."""
        return len(self._shelves)

    def join(self, new: Callable[[], Droppable], reach_us: int) -> int:
        """Give a group of features, which looks back so far, its place on every shelf."""
        self._new.append(new)
        self._reach_us.append(reach_us)
        return len(self._new) - 1

    def new(self, key: Any) -> list[Any]:
        """The shelf of a key that has none yet."""
        shelf = self._shelves[key] = [new() for new in self._new]
        return shelf

    def drop_before(self, moment: int) -> None:
        """Forget what no question asked from `moment` on can reach."""
        gone = []
        for key, shelf in self._shelves.items():
            left = [log.drop_before(moment - reach) for log, reach in zip(shelf, self._reach_us, strict=True)]
            if all(left):
                gone.append(key)
        for key in gone:
            del self._shelves[key]
