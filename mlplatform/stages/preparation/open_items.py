"""Open items online: due and not yet closed, at any time within reach.

They must not know which feature set they belong to; `online.py` feeds and asks them.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from mlplatform.stages.preparation.compiled import Code
from mlplatform.stages.preparation.declarations import CLOSED_BEFORE_US, Open
from mlplatform.stages.preparation.durations import microseconds
from mlplatform.stages.preparation.logs import Numbers, drop

MINUTE = 60_000_000

Item = list[Any]
"""When closed (`_FOREVER` while open), when due, and the values it was closed with; one for all its logs."""
Closing = tuple[int, int, Numbers]
"""The same of a closed item, as it was when it was closed."""

_FOREVER = 2**63

COUNT_BITS, DUE_BITS, VALUE_BITS = 32, 96, 96
"""Of one window: at most 2^27 items, with due times below 2^63 µs and values within 2^31."""
EXACT = 2**53
"""Whole numbers below are floats without rounding: 2^27 items times a minute, too."""
BIAS = 2**58
"""Added to every value (in µs), so that no field of a packed number is negative."""


def packed(due: int, values: Numbers) -> int:
    """One closed item as one whole number: a 1, its due time, due time + value each, in bits of their own.

    Sums and differences of such numbers are those of all fields at once; only the difference over a window
    is taken apart, so what a log has seen before does not matter.
    """
    number, shift = 1 | due << COUNT_BITS, COUNT_BITS + DUE_BITS
    for value in values:
        number += due + value * MINUTE + BIAS << shift
        shift += VALUE_BITS
    return number


class OpenLog:
    """The items of one key in order of due time, with prefix sums of all and of those that were closed.

    The sums hold every closed item, also those closed after the time asked; these few are found in
    `closings`, which is in order of closing, and taken off. So items may be told of and closed in any order,
    as late as they like, and one log answers every window.
    """

    __slots__ = ("closed_sums", "closings", "items", "told", "told_sums")

    def __init__(self) -> None:
        self.told: list[int] = []
        self.told_sums: list[int] = [0]
        self.items: list[Item] = []
        """In the order of `told`."""
        self.closed_sums: list[int] = [0]
        """Of the first items of `told`, up to the last closed one: further items would add nothing."""
        self.closings: list[Closing] = []

    def tell(self, item: Item) -> None:
        """Take an open item."""
        told, sums, due = self.told, self.told_sums, item[1]
        if not told or due >= told[-1]:
            told.append(due)
            sums.append(sums[-1] + due)
            self.items.append(item)
            return
        position = bisect_right(told, due)
        told.insert(position, due)
        sums[position + 1 :] = [before + due for before in sums[position:]]
        self.items.insert(position, item)
        if position < len(self.closed_sums) - 1:
            self.closed_sums.insert(position, self.closed_sums[position])

    def close(self, closing: Closing, number: int) -> None:
        """Take a closing and its `packed` number, less that of a closing it replaces."""
        sums = self.closed_sums
        position, end = bisect_right(self.told, closing[1]), len(sums)
        if position < end:
            sums[position:] = [before + number for before in sums[position:]]
        else:
            last = sums[-1]
            sums.extend([last] * (position - end))
            sums.append(last + number)
        if not self.closings or closing > self.closings[-1]:
            self.closings.append(closing)
        else:
            insort(self.closings, closing)

    def forget(self, closing: Closing) -> None:
        """Take back that an item was closed; its number is taken off with the next closing."""
        position = bisect_left(self.closings, closing)
        if position < len(self.closings) and self.closings[position] == closing:
            del self.closings[position]

    def closed_after(self, asked: int, low: int, high: int) -> Sequence[Any]:
        """Closings later than `asked`, among them all of the items `low` to `high`."""
        closings = self.closings
        position = bisect_right(closings, (asked, _FOREVER))
        if len(closings) - position < high - low:
            return closings[position:]
        return [item for item in self.items[low:high] if asked < item[0] < _FOREVER]

    def drop_before(self, moment: int) -> bool:
        """Forget items due up to `moment` and what was closed by then; True if none is left."""
        del self.closings[: bisect_right(self.closings, (moment, _FOREVER))]
        before = len(self.told)
        nothing_left = drop(self.told, moment, self.told_sums, self.items)
        del self.closed_sums[: min(before - len(self.told), len(self.closed_sums) - 1)]
        return nothing_left


class OpenGroup:
    """The `Open` features of one pair of sources and one key, and the code that reads them."""

    def __init__(self, features: Sequence[Open], values: Sequence[str]) -> None:
        self._features, self._values = features, values
        self.reach_us = max(microseconds(feature.window) for feature in features)
        self.nothing = {feature.name: 0 if feature.fn == "count" else None for feature in features}
        self.floats = [feature.name for feature in features if feature.fn != "count"]

    def new(self) -> OpenLog:
        """An empty log."""
        return OpenLog()

    def write(self, code: Code, log: str, found: Mapping[str, str]) -> None:
        """Write the code that reads the features at time `asked` into their variables `found`."""
        windows: dict[tuple[int, int], list[Open]] = {}
        for feature in self._features:
            windows.setdefault((microseconds(feature.after), microseconds(feature.window)), []).append(
                feature
            )
        marks = self._write_marks(code, log, {offset for window in windows for offset in window})
        sums = {
            w: self._write_sums(code, members, marks[w[1]], marks[w[0]]) for w, members in windows.items()
        }
        self._write_taken_off(code, log, marks, sums)
        biased = code.set(f"asked + {BIAS}")
        for window, members in windows.items():
            of = sums[window]
            open_ = code.set(f"{of['all']} - {of['shut']}")
            for feature in members:
                _write_finish(code, found[feature.name], feature, of, open_, biased)

    def _write_marks(self, code: Code, log: str, offsets: Iterable[int]) -> dict[int, "Mark"]:
        """Per offset: how many items were due by then, their sum, that of the closed ones; widest first."""
        right = code.value(bisect_right)
        told, told_sums = code.set(f"{log}.told"), code.set(f"{log}.told_sums")
        closed_sums = code.set(f"{log}.closed_sums")
        end, last = code.set(f"len({closed_sums})"), code.set(f"{closed_sums}[-1]")
        newest, *older = sorted(offsets)
        marks: dict[int, Mark] = {}
        low, high = "0", f"len({told})"
        for offset in [newest, *reversed(older)]:
            moment = code.set(f"asked - {offset}") if offset else "asked"
            found = code.set(f"{right}({told}, {moment}, {low}, {high})")
            closed = code.set(f"{closed_sums}[{found}] if {found} < {end} else {last}")
            marks[offset] = Mark(moment, found, code.set(f"{told_sums}[{found}]"), closed)
            low, high = (low, found) if offset == newest else (found, high)
        return marks

    def _write_sums(self, code: Code, features: Sequence[Open], start: "Mark", end: "Mark") -> dict[str, str]:
        """Variables of a window: all items and the shut ones, and what their times and values sum to."""
        of = {"all": code.set(f"{end.items} - {start.items}")}
        sums = code.set(f"{end.closed} - {start.closed}")
        of["shut"] = code.set(f"{sums} & {2**COUNT_BITS - 1}")
        if any(f.fn != "count" for f in features):
            of["told"] = code.set(f"{end.told} - {start.told}")
        if any(f.fn == "mean_age" for f in features):
            of["due"] = code.set(f"{sums} >> {COUNT_BITS} & {2**DUE_BITS - 1}")
        for value in dict.fromkeys(f.value for f in features if f.value):
            shift = COUNT_BITS + DUE_BITS + VALUE_BITS * self._values.index(value)
            of[f"value {value}"] = code.set(f"{sums} >> {shift} & {2**VALUE_BITS - 1}")
        return of

    def _write_taken_off(
        self,
        code: Code,
        log: str,
        marks: Mapping[int, "Mark"],
        sums: Mapping[tuple[int, int], Mapping[str, str]],
    ) -> None:
        """Closings later than the time asked: these items were open."""
        first, end = marks[max(marks)].items, marks[min(marks)].items
        with (
            code.block(f"if {log}.closings and {log}.closings[-1][0] > asked"),
            code.block(f"for _, due, values in {log}.closed_after(asked, {first}, {end})"),
        ):
            for (after, window), of in sums.items():
                with code.block(f"if {marks[window].moment} < due <= {marks[after].moment}"):
                    code.add(f"{of['shut']} -= 1")
                    if "due" in of:
                        code.add(f"{of['due']} -= due")
                    for place, value in enumerate(self._values):
                        if f"value {value}" in of:
                            code.add(f"{of[f'value {value}']} -= due + values[{place}] * {MINUTE} + {BIAS}")


class Mark(NamedTuple):
    """The variables of one moment: when it is, items due by then, the sums of these and of the closed."""

    moment: str
    items: str
    told: str
    closed: str


def _write_finish(
    code: Code, found: str, feature: Open, of: Mapping[str, str], open_: str, biased: str
) -> None:
    """Write a feature's value from the variables of its window."""
    if feature.fn == "count":
        code.add(f"{found} = {open_}")
        return
    if feature.fn == "mean_age":
        total, count = code.set(f"asked * {open_} - {of['told']} + {of['due']}"), open_
    else:
        # asked * open - (told - due) + values, of which the closed ones hold due + value + BIAS
        shut, value = of["shut"], of[f"value {feature.value}"]
        total = code.set(f"asked * {of['all']} - {biased} * {shut} - {of['told']} + {value}")
        count = of["all"]
    # Batch divides floats. Whole numbers that are floats exactly give the same, in half the time.
    rounded = f"{total} if {-EXACT} < {total} < {EXACT} else float({total})"
    code.add(f"{found} = ({rounded}) / ({count} * {MINUTE}) if {count} else None")


class OpenItems:
    """The items of one pair of sources: when each is due, when it was closed, and the logs it is in."""

    def __init__(self, features: Sequence[Open]) -> None:
        self._reach_us = max(microseconds(feature.window) for feature in features)
        self._items: dict[Any, tuple[Item, Sequence[OpenLog]]] = {}
        self._closings: dict[Any, tuple[int, Numbers]] = {}

    def tell(self, key: Any, due: int, logs: Sequence[OpenLog]) -> None:
        """Take an item, when it is due, and the logs of its keys; told of twice it counts once."""
        if key in self._items:
            return
        item: Item = [_FOREVER, due, ()]
        self._items[key] = (item, logs)
        for log in logs:
            log.tell(item)
        closing = self._closings.get(key)
        if closing is not None:
            self._close(key, *closing)

    def close(self, key: Any, closed: int, values: Numbers) -> None:
        """Take a closing; of several of one item the earliest counts, at one moment the least value."""
        before = self._closings.get(key)
        if before is not None and before[0] <= closed:
            values = tuple(map(min, before[1], values))
            if before[0] < closed or before[1] == values:
                return
        self._closings[key] = (closed, values)
        self._close(key, closed, values)

    def _close(self, key: Any, closed: int, values: Numbers) -> None:
        """Tell the logs of an item, if it is known."""
        known = self._items.get(key)
        if known is None:
            return
        item, logs = known
        before, due, values_before = item
        closing, number = (closed, due, values), packed(due, values)
        if before != _FOREVER:
            number -= packed(due, values_before)
            for log in logs:
                log.forget((before, due, values_before))
        item[0], item[2] = closed, values
        for log in logs:
            log.close(closing, number)

    def drop_before(self, moment: int) -> None:
        """Forget items that no question asked from `moment` on can reach.

        A closing whose item was not told of waits for it for a year: an invoice may be paid long before
        it is due.
        """
        horizon = moment - self._reach_us
        for key in [key for key, (item, _) in self._items.items() if item[1] <= horizon]:
            del self._items[key]
            self._closings.pop(key, None)
        long_ago = horizon - CLOSED_BEFORE_US
        for key in [k for k, (t, _) in self._closings.items() if t <= long_ago and k not in self._items]:
            del self._closings[key]
