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

Slot = tuple[str, int, int]
"""Column, scale (0: as it is), and which of `parts_of_number` (COUNT, TOTAL, SQUARES, NUMBER)."""

COUNT, TOTAL, SQUARES, NUMBER = range(4)
_NEEDS = {"count": (COUNT,), "sum": (TOTAL,), "mean": (COUNT, TOTAL), "std": (COUNT, TOTAL, SQUARES)}


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
        self.values = list(
            dict.fromkeys(
                [
                    *((f.value, 0, NUMBER) for f in lasts if f.value != "age"),
                    *((f.value or "", f.scale, NUMBER) for f in aggregates if f.fn in ("min", "max")),
                ]
            )
        )
        self.ordered = bool(lasts)
        self.reach_us = max(map(_reach, features))
        self.nothing = {f.name: _of_nothing(f) for f in features}
        self._windows = self._window_readers(aggregates)
        self._moments = self._last_readers(lasts)

    def new(self) -> Log:
        """An empty log."""
        return Log(len(self.sums), len(self.values), ordered=self.ordered)

    def read(self, log: Log, asked: int, row: dict[str, Any]) -> None:
        """Write the features at time `asked` into `row`."""
        times = log.times
        high = bisect_right(times, asked)
        for window, readers in self._windows:
            low = bisect_right(times, asked - window, 0, high)
            for name, read in readers:
                row[name] = read(log, low, high)
        for ago, reach, nothing, values, ages in self._moments:
            last = (bisect_right(times, asked - ago, 0, high) if ago else high) - 1
            if last < 0 or times[last] <= asked - reach:
                row.update(nothing)
                continue
            for name, slot in values:
                row[name] = log.values[slot][last]
            for name in ages:
                row[name] = (asked - times[last]) // MINUTE

    def _window_readers(self, features: Iterable[Agg]) -> list[tuple[int, list[tuple[str, Reader]]]]:
        """Features by window, as those of one window share the search for its beginning."""
        windows: dict[int, list[tuple[str, Reader]]] = {}
        for feature in features:
            windows.setdefault(microseconds(feature.window), []).append((feature.name, self._reader(feature)))
        return list(windows.items())

    def _reader(self, feature: Agg) -> Reader:
        if feature.value is None:
            return lambda log, low, high: high - low
        if feature.fn in ("min", "max"):
            return _extreme(feature, self.values.index((feature.value, feature.scale, NUMBER)))
        slots = [self.sums.index((feature.value, feature.scale, part)) for part in _NEEDS[feature.fn]]
        return _FINISH[feature.fn](*slots, feature.scale)

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
                [(f.name, self.values.index((f.value, 0, NUMBER))) for f in members if f.value != "age"],
                [f.name for f in members if f.value == "age"],
            )
            for moment, members in moments.items()
        ]


def _slots(features: Iterable[Agg]) -> list[Slot]:
    summed = [f for f in features if f.value is not None and f.fn not in ("min", "max")]
    return list(dict.fromkeys((f.value or "", f.scale, part) for f in summed for part in _NEEDS[f.fn]))


def _reach(feature: Agg | Last) -> int:
    if isinstance(feature, Agg):
        return microseconds(feature.window)
    return microseconds(feature.max_age) + microseconds(feature.ago)


def _of_nothing(feature: Agg | Last) -> int | float | None:
    if isinstance(feature, Agg) and feature.fn in ("count", "sum"):
        return 0 if feature.fn == "count" else _unscale(0, feature.scale)
    return None


def _extreme(feature: Agg, slot: int) -> Reader:
    scale = feature.scale
    choose: Callable[[Iterable[int]], int] = max if feature.fn == "max" else min

    def read(log: Log, low: int, high: int) -> Any:
        present = log.values[slot][low:high]
        if None in present:
            present = [value for value in present if value is not None]
        return _unscale(choose(present), scale) if present else None

    return read


def _count(count: int, scale: int) -> Reader:
    def read(log: Log, low: int, high: int) -> Any:
        counts = log.sums[count]
        return counts[high] - counts[low]

    return read


def _sum(total: int, scale: int) -> Reader:
    def read(log: Log, low: int, high: int) -> Any:
        totals = log.sums[total]
        return _unscale(totals[high] - totals[low], scale)

    return read


def _mean(count: int, total: int, scale: int) -> Reader:
    def read(log: Log, low: int, high: int) -> Any:
        counts, totals = log.sums[count], log.sums[total]
        n = counts[high] - counts[low]
        return float(totals[high] - totals[low]) / float(n * scale) if n else None

    return read


def _std(count: int, total: int, squares: int, scale: int) -> Reader:
    def read(log: Log, low: int, high: int) -> Any:
        counts, totals, squared = log.sums[count], log.sums[total], log.sums[squares]
        n, s = counts[high] - counts[low], totals[high] - totals[low]
        if n < 2:
            return None
        return math.sqrt(float(n * (squared[high] - squared[low]) - s * s) / float(n * (n - 1))) / scale

    return read


_FINISH: dict[str, Callable[..., Reader]] = {"count": _count, "sum": _sum, "mean": _mean, "std": _std}


def _unscale(number: int, scale: int) -> int | float:
    return number if scale == 1 else float(number) / float(scale)
