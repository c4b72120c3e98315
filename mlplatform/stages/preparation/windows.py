"""What the logs of aggregates and last values hold, and how each feature reads them.

It must not know how events arrive; `online.py` brings the log and the time.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mlplatform.stages.preparation.declarations import Agg, Last
from mlplatform.stages.preparation.durations import microseconds
from mlplatform.stages.preparation.logs import Log

MINUTE = 60_000_000

Reader = Callable[[Log, int, int], Any]
"""Of a log, the rows from the first position up to before the second."""

Mean = tuple[str, int, int, int]
"""Name, slots of count and total, and scale."""

Slot = tuple[str, int, int]
"""Column, scale (0: as it is), and which of `parts_of_number` (COUNT, TOTAL, SQUARES, NUMBER)."""

COUNT, TOTAL, SQUARES, NUMBER = range(4)
_NEEDS = {
    "count": (COUNT,),
    "sum": (TOTAL,),
    "mean": (COUNT, TOTAL),
    "std": (COUNT, TOTAL, SQUARES),
    "min": (COUNT,),
    "max": (COUNT,),
}


def parts_of_number(value: Any, scale: int) -> tuple[int, int, int, int | None]:
    """What logs may hold of a number: presence, the whole number, its square (0 if missing); None if missing.

    Decimals times `scale` are rounded half up, as the batch executor does.
    """
    if value is None:
        return 0, 0, 0, None
    whole = math.floor(value * float(scale) + 0.5) if isinstance(value, float) else int(value) * scale
    return 1, whole, whole * whole, whole


class KnownGroup:
    """The `Agg` and `Last` features of one source and key: which sums and values they need, how to read."""

    def __init__(self, features: Sequence[Agg | Last]) -> None:
        aggregates = [feature for feature in features if isinstance(feature, Agg)]
        lasts = [feature for feature in features if isinstance(feature, Last)]
        self.sums = _slots(aggregates)
        extremes = [(f.value or "", f.scale, NUMBER) for f in aggregates if f.fn in ("min", "max")]
        self.columns = list(dict.fromkeys(extremes))
        self.kept = list(dict.fromkeys(f.value for f in lasts if f.value != "age"))
        self.ordered = bool(lasts)
        self.reach_us = max(map(_reach, features))
        self.nothing = {f.name: _of_nothing(f) for f in features}
        self._windows = self._window_readers(aggregates)
        self._moments = self._last_readers(lasts)

    def new(self) -> Log:
        """An empty log."""
        return Log(len(self.sums), len(self.columns))

    def read(self, log: Log, asked: int, row: dict[str, Any]) -> None:
        """Write the features at time `asked` into `row`."""
        times, sums = log.times, log.sums
        high = bisect_right(times, asked)
        low = 0
        for window, counts, means, others in self._windows:
            low = bisect_right(times, asked - window, low, high)
            for name in counts:
                row[name] = high - low
            if means:
                until, before = sums[high], sums[low]
                for name, count, total, scale in means:
                    n = until[count] - before[count]
                    row[name] = (until[total] - before[total]) / (n * scale) if n else None
            for name, read in others:
                row[name] = read(log, low, high)
        for ago, reach, nothing, values, ages in self._moments:
            last = (bisect_right(times, asked - ago, 0, high) if ago else high) - 1
            if last < 0 or times[last] <= asked - reach:
                row.update(nothing)
                continue
            kept = log.kept[last]
            for name, slot in values:
                row[name] = kept[slot]
            for name in ages:
                row[name] = (asked - times[last]) // MINUTE

    def _window_readers(
        self, features: Sequence[Agg]
    ) -> list[tuple[int, list[str], list[Mean], list[tuple[str, Reader]]]]:
        """Features by window, the widest first: each search begins where the wider window begins.

        Counts of rows and means are most of what is declared, and read without a call.
        """
        readers = []
        for window in sorted({microseconds(f.window) for f in features}, reverse=True):
            members = [f for f in features if microseconds(f.window) == window]
            counts = [f.name for f in members if f.value is None]
            means = [self._mean(f) for f in members if f.fn == "mean"]
            others = [(f.name, self._reader(f)) for f in members if f.value is not None and f.fn != "mean"]
            readers.append((window, counts, means, others))
        return readers

    def _slots_of(self, feature: Agg) -> list[int]:
        return [self.sums.index((feature.value or "", feature.scale, part)) for part in _NEEDS[feature.fn]]

    def _mean(self, feature: Agg) -> Mean:
        count, total = self._slots_of(feature)
        return feature.name, count, total, feature.scale

    def _reader(self, feature: Agg) -> Reader:
        if feature.fn in ("min", "max"):
            column = self.columns.index((feature.value or "", feature.scale, NUMBER))
            return _extreme(feature, column, *self._slots_of(feature))
        return _FINISH[feature.fn](*self._slots_of(feature), feature.scale)

    def _last_readers(
        self, features: Iterable[Last]
    ) -> list[tuple[int, int, dict[str, Any], list[tuple[str, int]], list[str]]]:
        """Features by how long ago they look and how far back: those share the search for the row."""
        moments: dict[tuple[int, int], list[Last]] = {}
        for feature in features:
            moments.setdefault((microseconds(feature.ago), _reach(feature)), []).append(feature)
        return [
            (
                *moment,
                {f.name: None for f in members},
                [(f.name, 1 + self.kept.index(f.value)) for f in members if f.value != "age"],
                [f.name for f in members if f.value == "age"],
            )
            for moment, members in moments.items()
        ]


def _slots(features: Iterable[Agg]) -> list[Slot]:
    summed = [f for f in features if f.value is not None]
    return list(dict.fromkeys((f.value or "", f.scale, part) for f in summed for part in _NEEDS[f.fn]))


def _reach(feature: Agg | Last) -> int:
    if isinstance(feature, Agg):
        return microseconds(feature.window)
    return microseconds(feature.max_age) + microseconds(feature.ago)


def _of_nothing(feature: Agg | Last) -> int | float | None:
    if isinstance(feature, Agg) and feature.fn in ("count", "sum"):
        return 0 if feature.fn == "count" else _unscale(0, feature.scale)
    return None


def _extreme(feature: Agg, column: int, count: int) -> Reader:
    scale = feature.scale
    choose: Callable[[Iterable[Any]], int] = max if feature.fn == "max" else min

    def read(log: Log, low: int, high: int) -> Any:
        n = log.sums[high][count] - log.sums[low][count]
        if not n:
            return None
        values = log.columns[column][low:high]
        if n < high - low:
            return _unscale(choose([value for value in values if value is not None]), scale)
        return _unscale(choose(values), scale)

    return read


def _count(count: int, scale: int) -> Reader:
    return lambda log, low, high: log.sums[high][count] - log.sums[low][count]


def _sum(total: int, scale: int) -> Reader:
    return lambda log, low, high: _unscale(log.sums[high][total] - log.sums[low][total], scale)


def _std(count: int, total: int, squares: int, scale: int) -> Reader:
    def read(log: Log, low: int, high: int) -> Any:
        until, before = log.sums[high], log.sums[low]
        n, s = until[count] - before[count], until[total] - before[total]
        if n < 2:
            return None
        spread = n * (until[squares] - before[squares]) - s * s
        return math.sqrt(float(spread) / float(n * (n - 1))) / scale

    return read


_FINISH: dict[str, Callable[..., Reader]] = {"count": _count, "sum": _sum, "std": _std}


def _unscale(number: int, scale: int) -> int | float:
    return number if scale == 1 else float(number) / float(scale)
