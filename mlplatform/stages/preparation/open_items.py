"""Open items online: due and not yet closed, at any time within reach.

They must not know which feature set they belong to; `online.py` feeds and asks them.
"""

from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence
from typing import Any

from mlplatform.stages.preparation.compiled import Code
from mlplatform.stages.preparation.declarations import CLOSED_BEFORE_US, Open
from mlplatform.stages.preparation.durations import microseconds
from mlplatform.stages.preparation.logs import Numbers, drop

MINUTE = 60_000_000

Closing = tuple[int, int, int, Numbers]
"""When closed, when due, +1 (or -1: an earlier closing taken back), and the values it was closed with."""

_FOREVER = 2**63


COUNT_BITS, DUE_BITS, VALUE_BITS = 32, 96, 64
"""Of one window: at most 2^32 closed items, with due times below 2^63 µs and values within 2^31."""
BIAS = 2**31
"""Added to every value, so that no field of a packed number is negative."""


def packed(due: int, values: Numbers) -> int:
    """One closed item as one whole number: a 1, its due time, its values, each in bits of its own.

    Sums and differences of such numbers are those of all fields at once; only the difference over a window
    is taken apart, so what a log has seen before does not matter.
    """
    number, shift = 1 | due << COUNT_BITS, COUNT_BITS + DUE_BITS
    for value in values:
        number += value + BIAS << shift
        shift += VALUE_BITS
    return number


class OpenLog:
    """The items of one key: those told of and those closed, both in order of due time, with prefix sums.

    Of the closed ones in a window the sums hold all, also those closed after the time asked; these few are
    found in `closings`, which is in order of closing, and taken off. So items may be told of and closed in
    any order, as late as they like, and one log answers every window.
    """

    __slots__ = ("closed", "closed_sums", "closings", "kept", "told", "told_sums")

    def __init__(self) -> None:
        self.told: list[int] = []
        self.told_sums: list[int] = [0]
        self.closed: list[int] = []
        self.closed_sums: list[int] = [0]
        self.kept: list[Closing] = []
        """The closings in the order of `closed`."""
        self.closings: list[Closing] = []

    def tell(self, due: int) -> None:
        """Take an item that is due at `due`."""
        _add(self.told, self.told_sums, due, due)

    def close(self, due: int, number: int, closing: Closing) -> None:
        """Take the closing of an item and its `packed` number, which is negative to take one back."""
        self.kept.insert(_add(self.closed, self.closed_sums, due, number), closing)
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
        return [closing for closing in self.kept[low:high] if closing[0] > asked]

    def drop_before(self, moment: int) -> bool:
        """Forget items due up to `moment` and what was closed by then; True if none is left."""
        del self.closings[: bisect_right(self.closings, (moment, _FOREVER))]
        none_told = drop(self.told, moment, self.told_sums)
        none_closed = drop(self.closed, moment, self.closed_sums, self.kept)
        return none_told and none_closed


def _add(times: list[int], sums: list[int], at: int, number: int) -> int:
    """Put a number into prefix sums in order of time; where."""
    if not times or at >= times[-1]:
        times.append(at)
        sums.append(sums[-1] + number)
        return len(times) - 1
    position = bisect_right(times, at)
    times.insert(position, at)
    later = sums[position:]
    sums[position + 1 :] = [before + number for before in later]
    return position


class OpenGroup:
    """The `Open` features of one pair of sources and one key, and the code that reads them."""

    def __init__(self, features: Sequence[Open], values: Sequence[str]) -> None:
        self._features, self._values = features, values
        self.reach_us = max(microseconds(feature.window) for feature in features)
        self.nothing = {feature.name: 0 if feature.fn == "count" else None for feature in features}

    def new(self) -> OpenLog:
        """An empty log."""
        return OpenLog()

    def write(self, code: Code, log: str, bisect: tuple[str, str], found: Mapping[str, str]) -> None:
        """Write the code that reads the features at time `asked` into their variables `found`."""
        windows = dict.fromkeys((microseconds(f.after), microseconds(f.window)) for f in self._features)
        offsets = sorted({offset for window in windows for offset in window}, reverse=True)
        marks = self._write_marks(code, log, bisect[0], offsets)
        first, end = marks[max(marks)][2], marks[min(marks)][2]
        sums = {w: self._write_sums(code, w, marks[w[1]], marks[w[0]]) for w in windows}
        late = code.set(f"{log}.closed_after(asked, {first}, {end})")
        with code.block(f"for closed, due, sign, values in {late}"):
            for window, of in sums.items():
                self._write_taken_off(code, window, of)
        for feature in self._features:
            of = sums[microseconds(feature.after), microseconds(feature.window)]
            code.add(f"{found[feature.name]} = {_finish(feature, of)}")

    def _write_marks(
        self, code: Code, log: str, right: str, offsets: Sequence[int]
    ) -> dict[int, tuple[str, str, str, str]]:
        """Per offset: items told of up to there and their sum, items closed and theirs; widest first."""
        marks: dict[int, tuple[str, str, str, str]] = {}
        told, closed = code.set(f"{log}.told"), code.set(f"{log}.closed")
        told_sums, closed_sums = code.set(f"{log}.told_sums"), code.set(f"{log}.closed_sums")
        low_told = low_closed = "0"
        for offset in offsets:
            moment = code.set(f"asked - {offset}") if offset else "asked"
            low_told = code.set(f"{right}({told}, {moment}, {low_told})")
            low_closed = code.set(f"{right}({closed}, {moment}, {low_closed})")
            marks[offset] = (low_told, f"{told_sums}[{low_told}]", low_closed, f"{closed_sums}[{low_closed}]")
        return marks

    def _write_sums(
        self, code: Code, window: tuple[int, int], start: tuple[str, ...], end: tuple[str, ...]
    ) -> dict[str, str]:
        """Variables of a window: items open and shut, due times of the open, values of the shut ones."""
        features = [f for f in self._features if (microseconds(f.after), microseconds(f.window)) == window]
        shut = code.set(f"{end[3]} - {start[3]}")
        of = {"shut": code.set(f"{shut} & {2**COUNT_BITS - 1}")}
        of["open"] = code.set(f"{end[0]} - {start[0]} - {of['shut']}")
        if any(f.fn != "count" for f in features):
            due = f"({shut} >> {COUNT_BITS} & {2**DUE_BITS - 1})"
            of["due"] = code.set(f"{end[1]} - {start[1]} - {due}")
        for value in dict.fromkeys(f.value for f in features if f.value):
            shift = COUNT_BITS + DUE_BITS + VALUE_BITS * self._values.index(value)
            field = f"({shut} >> {shift} & {2**VALUE_BITS - 1})"
            of[value] = code.set(f"{field} - {of['shut']} * {BIAS}")
        return of

    def _write_taken_off(self, code: Code, window: tuple[int, int], of: Mapping[str, str]) -> None:
        """Of one closing later than the time asked: the item was open."""
        with code.block(f"if asked - {window[1]} < due <= asked - {window[0]}"):
            code.add(f"{of['shut']} -= sign; {of['open']} += sign")
            if "due" in of:
                code.add(f"{of['due']} += sign * due")
            for value in self._values:
                if value in of:
                    code.add(f"{of[value]} -= sign * values[{self._values.index(value)}]")


def _finish(feature: Open, of: Mapping[str, str]) -> str:
    """The source of a feature's value from the variables of its window."""
    open_ = of["open"]
    match feature.fn:
        case "count":
            return open_
        case "mean_age":
            return f"float(asked * {open_} - {of['due']}) / float({open_} * {MINUTE}) if {open_} else None"
        case _:
            both = f"({open_} + {of['shut']})"
            state = of.get(feature.value or "", "0")
            total = f"asked * {open_} - {of['due']} + {state} * {MINUTE}"
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
            self._close(item, *closing, 1)

    def close(self, item: Any, closed: int, values: Numbers) -> None:
        """Take a closing; of several of one item the earliest counts, at one moment the least value."""
        before = self._closings.get(item)
        if before is not None and before[0] <= closed:
            values = tuple(map(min, before[1], values))
            if before[0] < closed or before[1] == values:
                return
        if before is not None:
            self._close(item, *before, -1)
        self._closings[item] = (closed, values)
        self._close(item, closed, values, 1)

    def _close(self, item: Any, closed: int, values: Numbers, sign: int) -> None:
        """Tell the logs of an item, if it is known."""
        due, logs = self._items.get(item, (0, ()))
        closing, number = (closed, due, sign, values), sign * packed(due, values)
        for log in logs:
            log.close(due, number, closing)

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
