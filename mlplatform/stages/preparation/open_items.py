"""Open items online: due and not yet closed, at any time within reach.

They must not know which feature set they belong to; `online.py` feeds and asks them.
"""

from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence
from operator import add
from typing import Any

from mlplatform.stages.preparation.compiled import Code
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
        told = self.told
        if told.times and due < told.times[-1]:
            told.insert(due, (due,), (), ())
        else:
            told.times.append(due)
            told.sums.append((told.sums[-1][0] + due,))

    def close(self, due: int, closed: int, values: Numbers, sign: int) -> None:
        """Take the closing of an item; with `sign` -1 take it back."""
        closing = (closed, due, sign, values)
        numbers = (1, due, *values) if sign > 0 else (-1, -due, *[-value for value in values])
        log = self.closed
        if log.times and due <= log.times[-1]:
            log.insert(due, numbers, (), (closing,))
        else:
            log.times.append(due)
            log.sums.append((*map(add, log.sums[-1], numbers),))
            log.kept.append((closing,))
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
    """The `Open` features of one pair of sources and one key, and the code that reads them."""

    def __init__(self, features: Sequence[Open], values: Sequence[str]) -> None:
        self._features, self._values = features, values
        self.reach_us = max(microseconds(feature.window) for feature in features)
        self.nothing = {feature.name: 0 if feature.fn == "count" else None for feature in features}

    def new(self) -> OpenLog:
        """An empty log."""
        return OpenLog(len(self._values))

    def write(self, code: Code, log: str, bisect: tuple[str, str], found: Mapping[str, str]) -> None:
        """Write the code that reads the features at time `asked` into their variables `found`."""
        told, shut = code.set(f"{log}.told"), code.set(f"{log}.closed")
        windows = dict.fromkeys((microseconds(f.after), microseconds(f.window)) for f in self._features)
        marks = self._write_marks(
            code, told, shut, bisect[0], sorted({o for w in windows for o in w}, reverse=True)
        )
        first, end = marks[max(marks)][2], marks[min(marks)][2]
        late = code.set(f"{log}.closed_after(asked, {first}, {end})")
        for after, window in windows:
            self._write_window(code, (after, window), marks[window], marks[after], late, found)

    def _write_marks(
        self, code: Code, told: str, shut: str, right: str, offsets: Sequence[int]
    ) -> dict[int, tuple[str, str, str, str]]:
        """Per offset: items told of up to there and their sums, items closed and theirs; widest first."""
        marks: dict[int, tuple[str, str, str, str]] = {}
        times, closed = code.set(f"{told}.times"), code.set(f"{shut}.times")
        low_told = low_closed = "0"
        for offset in offsets:
            moment = code.set(f"asked - {offset}") if offset else "asked"
            low_told = code.set(f"{right}({times}, {moment}, {low_told})")
            low_closed = code.set(f"{right}({closed}, {moment}, {low_closed})")
            due, sums = code.set(f"{told}.sums[{low_told}][0]"), code.set(f"{shut}.sums[{low_closed}]")
            marks[offset] = (low_told, due, low_closed, sums)
        return marks

    def _write_window(
        self,
        code: Code,
        window: tuple[int, int],
        start: tuple[str, str, str, str],
        end: tuple[str, str, str, str],
        late: str,
        found: Mapping[str, str],
    ) -> None:
        features = [f for f in self._features if (microseconds(f.after), microseconds(f.window)) == window]
        states = {f.value: 2 + self._values.index(f.value) for f in features if f.value}
        (n_start, due_start, _, before), (n_end, due_end, _, until) = start, end
        shut = code.set(f"{until}[0] - {before}[0]")
        open_ = code.set(f"{n_end} - {n_start} - {shut}")
        ages = any(f.fn != "count" for f in features)
        due = code.set(f"{due_end} - {due_start} - {until}[1] + {before}[1]") if ages else "0"
        state = {v: code.set(f"{until}[{slot}] - {before}[{slot}]") for v, slot in states.items()}
        inside = f"if asked - {window[1]} < closing[1] <= asked - {window[0]}"
        with code.block(f"for closing in {late}"), code.block(inside):
            code.add(f"{shut} -= closing[2]; {open_} += closing[2]")
            if ages:
                code.add(f"{due} += closing[2] * closing[1]")
            for value, slot in states.items():
                code.add(f"{state[value]} -= closing[2] * closing[3][{slot - 2}]")
        for f in features:
            code.add(f"{found[f.name]} = {_finish(f, open_, due, shut, state.get(f.value or '', '0'))}")


def _finish(feature: Open, open_: str, due: str, shut: str, state: str) -> str:
    """The source of a feature's value: open items, sum of their due times, closed items, their state."""
    match feature.fn:
        case "count":
            return open_
        case "mean_age":
            return f"float(asked * {open_} - {due}) / float({open_} * {MINUTE}) if {open_} else None"
        case _:
            both = f"({open_} + {shut})"
            total = f"asked * {open_} - {due} + {state} * {MINUTE}"
            return f"float({total}) / float({both} * {MINUTE}) if {both} else None"


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
