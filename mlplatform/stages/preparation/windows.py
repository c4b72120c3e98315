"""What the logs of aggregates and last values hold, and the code that reads each feature from them.

It must not know how events arrive; `online.py` brings the log and the time.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from operator import itemgetter, mul
from typing import Any

from mlplatform.errors import FeatureError
from mlplatform.stages.preparation.compiled import Code
from mlplatform.stages.preparation.declarations import Agg, ExponentialMean, Last, Windowed
from mlplatform.stages.preparation.durations import microseconds
from mlplatform.stages.preparation.logs import Log

MINUTE = 60_000_000
LARGEST_NUMBER = 2**31
"""Whole numbers from here on are refused: their squares and sums would not be exact in 64 bits."""

Slot = tuple[str, int, int]
"""Column, scale, and which part of the number: COUNT, TOTAL, SQUARES, NUMBER, or the value AS_IT_IS."""

COUNT, TOTAL, SQUARES, NUMBER, AS_IT_IS = range(5)
_NEEDS = {
    "count": (COUNT,),
    "sum": (TOTAL,),
    "mean": (COUNT, TOTAL),
    "std": (COUNT, TOTAL, SQUARES),
    "min": (COUNT,),
    "max": (COUNT,),
    "distinct": (),
}
_COLUMNS = {"min": NUMBER, "max": NUMBER, "distinct": AS_IT_IS}


def whole(value: Any, scale: int) -> int:
    """The whole number that a log holds of a value: times `scale`, decimals rounded half up as in batch.

    Raises
    ------
    FeatureError
        if it is so large that sums of it would not be exact.
    """
    number = math.floor(value * float(scale) + 0.5) if isinstance(value, float) else int(value) * scale
    if not -LARGEST_NUMBER < number < LARGEST_NUMBER:
        raise FeatureError(
            f"got the value {value!r} (scale {scale}) to aggregate; allowed: whole numbers within ± 2^31.",
            hint="Use a coarser scale, or clip the column in preparation.",
        )
    return number


class KnownGroup:
    """The aggregates and last values of one source and key: which sums and values they need, how to read."""

    def __init__(self, features: Sequence[Windowed]) -> None:
        self._aggregates = [feature for feature in features if isinstance(feature, Agg)]
        self._means = [feature for feature in features if isinstance(feature, ExponentialMean)]
        self._lasts = [feature for feature in features if isinstance(feature, Last)]
        self.sums = list(dict.fromkeys(slot for f in self._aggregates for slot in _sums_of(f)))
        self.columns = list(
            dict.fromkeys(
                [_column_of(f) for f in self._aggregates if f.fn in _COLUMNS]
                + [(f.value, f.scale, NUMBER) for f in self._means]
            )
        )
        self.kept = list(dict.fromkeys(f.value for f in self._lasts if f.value != "age"))
        self.ordered = bool(self._lasts or self._means or any(f.last for f in self._aggregates))
        self.reach_us = max(map(_reach, features))
        self.nothing = {f.name: _of_nothing(f) for f in features}
        self.floats = [f.name for f in features if _gives_float(f)]

    def new(self) -> Log:
        """An empty log."""
        return Log(len(self.sums), len(self.columns))

    def write(self, code: Code, log: str, found: Mapping[str, str]) -> None:
        """Write the code that reads the features at time `asked` into their variables `found`."""
        right, left = code.value(bisect_right), code.value(bisect_left)
        times = code.set(f"{log}.times")
        sums = code.set(f"{log}.sums") if self.sums else ""
        newest = f"len({times}) if {times} and {times}[-1] <= asked"  # nearly always: no search then
        high = code.set(f"{newest} else {right}({times}, asked)")
        until = code.set(f"{sums}[{high}]") if self.sums else ""
        low = "0"
        windows = {f.window for f in self._aggregates} | {f.window for f in self._means}
        for window in sorted(map(microseconds, windows), reverse=True):
            low = code.set(f"{right}({times}, asked - {window}, {low}, {high})")
            members = [f for f in self._aggregates if microseconds(f.window) == window]
            for last in dict.fromkeys((f.last, _count_slot(f) if f.last else None) for f in members):
                begin = self._begin(code, left, sums, until, low, high, last)
                same = [f for f in members if (f.last, _count_slot(f) if f.last else None) == last]
                self._write_window(code, log, same, sums, until, begin, high, found)
            for mean in self._means:
                if microseconds(mean.window) == window:
                    column = self.columns.index((mean.value, mean.scale, NUMBER))
                    weights, finish = code.value(_weighted(mean)), code.value(exponential_mean)
                    values = f"{log}.columns[{column}]"
                    code.add(f"{found[mean.name]} = {finish}({values}, {low}, {high}, {weights})")
        self._write_lasts(code, log, times, right, high, found)

    def _begin(
        self, code: Code, left: str, sums: str, until: str, low: str, high: str, last: tuple[Any, Any]
    ) -> str:
        """Where the latest so many rows of the window begin."""
        most, slot = last
        if most is None:
            return low
        if slot is None:
            return code.set(f"max({low}, {high} - {most})")
        place = self.sums.index(slot)
        present = code.value(itemgetter(place))
        wanted = f"{until}[{place}] - {most}"
        return code.set(f"max({low}, {left}({sums}, {wanted}, {low}, {high}, key={present}))")

    def _write_window(
        self,
        code: Code,
        log: str,
        features: Sequence[Agg],
        sums: str,
        until: str,
        low: str,
        high: str,
        found: Mapping[str, str],
    ) -> None:
        before = code.set(f"{sums}[{low}]") if any(_sums_of(f) for f in features) else ""
        differences: dict[Slot, str] = {}

        def of(slot: Slot) -> str:
            if slot not in differences:
                place = self.sums.index(slot)
                differences[slot] = code.set(f"{until}[{place}] - {before}[{place}]")
            return differences[slot]

        for feature in features:
            parts = [of(slot) for slot in _sums_of(feature)]
            column = (
                f"{log}.columns[{self.columns.index(_column_of(feature))}]" if feature.fn in _COLUMNS else ""
            )
            code.add(f"{found[feature.name]} = {_finish(code, feature, parts, column, low, high)}")

    def _write_lasts(
        self, code: Code, log: str, times: str, right: str, high: str, found: Mapping[str, str]
    ) -> None:
        """Features that look equally long ago and equally far back share the search for the row."""
        moments: dict[tuple[int, int], list[Last]] = {}
        for feature in self._lasts:
            moments.setdefault((microseconds(feature.ago), _reach(feature)), []).append(feature)
        for (ago, reach), members in moments.items():
            end = code.set(f"{right}({times}, asked - {ago}, 0, {high})") if ago else high
            last = code.set(f"{end} - 1")
            with code.block(f"if {last} < 0 or {times}[{last}] <= asked - {reach}"):
                code.add(" = ".join(found[f.name] for f in members) + " = None")
            with code.block("else"):
                row = code.set(f"{log}.kept[{last}]")
                for f in members:
                    age = f"(asked - {times}[{last}]) // {MINUTE}"
                    value = age if f.value == "age" else f"{row}[{1 + self.kept.index(f.value)}]"
                    code.add(f"{found[f.name]} = {value}")


def _finish(code: Code, feature: Agg, parts: Sequence[str], column: str, low: str, high: str) -> str:
    """The source of a feature's value from its sums, or from the values of the window."""
    scale = feature.scale
    if feature.value is None:
        return f"{high} - {low}"
    match feature.fn:
        case "count":
            return parts[0]
        case "sum":
            return parts[0] if scale == 1 else f"{parts[0]} / {float(scale)!r}"
        case "mean":
            n, total = parts
            return f"{total} / {n if scale == 1 else f'({n} * {scale})'} if {n} else None"
        case "std":
            return f"{code.value(_std)}({', '.join(parts)}, {scale})"
        case "distinct":
            return f"{code.value(_distinct)}({column}[{low}:{high}])"
        case _:
            return (
                f"{code.value(_extreme)}({feature.fn}, {column}[{low}:{high}], {parts[0]}, {scale}) "
                f"if {parts[0]} else None"
            )


def _sums_of(feature: Agg) -> list[Slot]:
    if feature.value is None:
        return []
    needs = _NEEDS[feature.fn]
    slots = [(feature.value, feature.scale, part) for part in needs]
    counted = _count_slot(feature)
    return [*slots, counted] if feature.last and counted and counted not in slots else slots


def _count_slot(feature: Agg) -> Slot | None:
    """Where rows with a value are counted; of what need not be a number, by its presence alone."""
    if feature.value is None:
        return None
    return feature.value, 0 if feature.fn == "distinct" else feature.scale, COUNT


def _column_of(feature: Agg) -> Slot:
    part = _COLUMNS[feature.fn]
    return feature.value or "", 0 if part == AS_IT_IS else feature.scale, part


def _reach(feature: Windowed) -> int:
    if isinstance(feature, Last):
        return microseconds(feature.max_age) + microseconds(feature.ago)
    return microseconds(feature.window)


def _of_nothing(feature: Windowed) -> int | float | None:
    if isinstance(feature, Agg) and feature.fn in ("count", "sum", "distinct"):
        return 0.0 if feature.fn == "sum" and feature.scale != 1 else 0
    return None


def _gives_float(feature: Windowed) -> bool:
    """Whether its values are floats or None, whatever the rows hold."""
    if isinstance(feature, Agg):
        return feature.fn in ("mean", "std") or (feature.fn in ("sum", "min", "max") and feature.scale != 1)
    return isinstance(feature, ExponentialMean)


def _extreme(choose: Any, values: Sequence[int | None], present: int, scale: int) -> int | float:
    known: Iterable[Any] = values if present == len(values) else [v for v in values if v is not None]
    extreme: int = choose(known)
    return extreme if scale == 1 else float(extreme) / float(scale)


def _distinct(values: Sequence[Any]) -> int:
    found = set(values)
    return len(found) - (None in found)


def _std(n: int, total: int, squares: int, scale: int) -> float | None:
    if n < 2:
        return None
    spread = n * squares - total * total
    return math.sqrt(float(spread) / float(n * (n - 1))) / scale


Weights = Sequence[tuple[Sequence[int], int]]
"""By the number of values, from none on: their weights, the oldest value's first, and the sum times scale."""


def _weighted(feature: ExponentialMean) -> Weights:
    latest = [feature.weights[:count] for count in range(feature.last + 1)]
    return tuple((weights[::-1], sum(weights) * feature.scale) for weights in latest)


def exponential_mean(values: Sequence[int | None], low: int, high: int, weighted: Weights) -> float | None:
    """The weighted mean of the latest values present among `values[low:high]`; None where there is none."""
    most = len(weighted) - 1
    latest: Sequence[Any] = values[low if high - low < most else high - most : high]
    try:
        total = sum(map(mul, weighted[len(latest)][0], latest))
    except TypeError:  # a value is missing
        latest = _latest_present(values, low, high, most)
        total = sum(map(mul, weighted[len(latest)][0], latest))
    weight = weighted[len(latest)][1]
    return 1.0 * total / weight if weight else None  # 1.0 * is float() without a call


def _latest_present(values: Sequence[int | None], low: int, high: int, most: int) -> list[int]:
    backwards = (values[position] for position in range(high - 1, low - 1, -1))
    return list(islice((value for value in backwards if value is not None), most))[::-1]
