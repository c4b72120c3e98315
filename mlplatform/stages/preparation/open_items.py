"""Open items online: due and not yet closed, at any time within reach.

They must not know which feature set they belong to; `online.py` feeds and asks them.
"""

from bisect import bisect_right, insort
from collections.abc import Callable, Sequence
from typing import Any

from mlplatform.stages.preparation.declarations import CLOSED_BEFORE_US, Open
from mlplatform.stages.preparation.durations import microseconds
from mlplatform.stages.preparation.logs import Log, Numbers

MINUTE = 60_000_000

Closing = tuple[int, int, int, Numbers]
"""When closed, when due, +1 (or -1: an earlier closing taken back), and the values it was closed with."""

_FOREVER = 2**63


class OpenLog:
    """The items of one key: those told of and those closed, both in order of due time, with prefix sums.

    Of the closed ones in a window the sums hold all, also those closed after the time asked; these few are
    found in `closings`, which is in order of closing, and taken off. So items may be told of and closed in
    any order, as late as they like, and one log answers every window.
    """

    __slots__ = ("closed", "closings", "told")

    def __init__(self, values: int) -> None:
        self.told = Log(1, 0)
        self.closed = Log(2 + values, 0)
        self.closings: list[Closing] = []

    def tell(self, due: int) -> None:
        """Take an item that is due at `due`."""
        self.told.add(due, (due,), (), ())

    def close(self, due: int, closed: int, values: Numbers, sign: int) -> None:
        """Take the closing of an item; with `sign` -1 take it back."""
        closing = (closed, due, sign, values)
        if sign > 0:
            self.closed.add(due, (1, due, *values), (), (closing,))
        else:
            self.closed.add(due, (-1, -due, *[-value for value in values]), (), (closing,))
        if not self.closings or closing > self.closings[-1]:
            self.closings.append(closing)
        else:
            insort(self.closings, closing)

    def closed_after(self, asked: int, low: int, high: int) -> Sequence[Closing]:
        """Closings later than `asked`, among them all of the closed items `low` to `high`."""
        closings = self.closings
        if not closings or closings[-1][0] <= asked:
            return ()
        position = bisect_right(closings, (asked, _FOREVER))
        if len(closings) - position < high - low:
            return closings[position:]
        return [closing for (closing,) in self.closed.kept[low:high] if closing[0] > asked]

    def drop_before(self, moment: int) -> bool:
        """Forget items due up to `moment` and what was closed by then; True if none is left."""
        del self.closings[: bisect_right(self.closings, (moment, _FOREVER))]
        none_told, none_closed = self.told.drop_before(moment), self.closed.drop_before(moment)
        return none_told and none_closed


class OpenGroup:
    """The `Open` features of one pair of sources and one key, and how each is read."""

    def __init__(self, features: Sequence[Open], values: Sequence[str]) -> None:
        self._values = len(values)
        self.reach_us = max(microseconds(feature.window) for feature in features)
        self.nothing = {feature.name: 0 if feature.fn == "count" else None for feature in features}
        windows = {(microseconds(f.after), microseconds(f.window)) for f in features}
        self._offsets = sorted({offset for window in windows for offset in window}, reverse=True)
        self._readers = [
            (
                after,
                window,
                self._offsets.index(after),
                self._offsets.index(window),
                [
                    (f.name, _FINISH[f.fn], 2 + values.index(f.value) if f.value else 0)
                    for f in features
                    if (microseconds(f.after), microseconds(f.window)) == (after, window)
                ],
            )
            for after, window in sorted(windows)
        ]

    def new(self) -> OpenLog:
        """An empty log."""
        return OpenLog(self._values)

    def read(self, log: OpenLog, asked: int, row: dict[str, Any]) -> None:
        """Write the features at time `asked` into `row`."""
        told, closed = log.told, log.closed
        n_told = n_shut = 0
        marks = []
        for offset in self._offsets:
            moment = asked - offset
            n_told = bisect_right(told.times, moment, n_told)
            n_shut = bisect_right(closed.times, moment, n_shut)
            marks.append((n_told, told.sums[n_told], n_shut, closed.sums[n_shut]))
        late = log.closed_after(asked, marks[0][2], marks[-1][2])
        for after, window, end, start, features in self._readers:
            last, told_until, _, until = marks[end]
            first, told_before, _, before = marks[start]
            n_closed = until[0] - before[0]
            n_open = last - first - n_closed
            due = told_until[0] - told_before[0] - until[1] + before[1]
            still: Sequence[Closing] = ()
            if late:
                still = [closing for closing in late if asked - window < closing[1] <= asked - after]
                for _, due_then, sign, _ in still:
                    n_closed, n_open, due = n_closed - sign, n_open + sign, due + sign * due_then
            for name, finish, slot in features:
                if finish is None:
                    row[name] = n_open
                    continue
                state = until[slot] - before[slot] if slot else 0
                if still and slot:
                    state -= sum(sign * values[slot - 2] for _, _, sign, values in still)
                row[name] = finish(asked, n_open, due, n_closed, state)


class OpenItems:
    """The items of one pair of sources: when each is due, when it was closed, and the logs it is in."""

    def __init__(self, features: Sequence[Open]) -> None:
        self._reach_us = max(microseconds(feature.window) for feature in features)
        self._items: dict[Any, tuple[int, Sequence[OpenLog]]] = {}
        self._closings: dict[Any, tuple[int, Numbers]] = {}

    def tell(self, item: Any, due: int, logs: Sequence[OpenLog]) -> None:
        """Take an item, when it is due, and the logs of its keys; told of twice it counts once."""
        if item in self._items:
            return
        self._items[item] = (due, logs)
        for log in logs:
            log.tell(due)
        closing = self._closings.get(item)
        if closing is not None:
            for log in logs:
                log.close(due, *closing, 1)

    def close(self, item: Any, closed: int, values: Numbers) -> None:
        """Take a closing; of several of one item the earliest counts, at one moment the least value."""
        before = self._closings.get(item)
        if before is not None and before[0] <= closed:
            values = tuple(map(min, before[1], values))
            if before[0] < closed or before[1] == values:
                return
        self._closings[item] = (closed, values)
        due, logs = self._items.get(item, (0, ()))
        for log in logs:
            if before is not None:
                log.close(due, *before, -1)
            log.close(due, closed, values, 1)

    def drop_before(self, moment: int) -> None:
        """Forget items that no question asked from `moment` on can reach.

        A closing whose item was not told of waits for it for a year: an invoice may be paid long before
        it is due.
        """
        horizon = moment - self._reach_us
        for item in [item for item, (due, _) in self._items.items() if due <= horizon]:
            del self._items[item]
            self._closings.pop(item, None)
        long_ago = horizon - CLOSED_BEFORE_US
        for item in [i for i, (t, _) in self._closings.items() if t <= long_ago and i not in self._items]:
            del self._closings[item]


def _mean_age(asked: int, n: int, due: int, closed: int, state: int) -> float | None:
    return float(asked * n - due) / float(n * MINUTE) if n else None


def _mean_state(asked: int, n: int, due: int, closed: int, state: int) -> float | None:
    both = n + closed
    return float(asked * n - due + state * MINUTE) / float(both * MINUTE) if both else None


_FINISH: dict[str, Callable[[int, int, int, int, int], Any] | None] = {
    "count": None,
    "mean_age": _mean_age,
    "mean_state": _mean_state,
}
