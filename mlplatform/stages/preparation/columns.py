"""How the windows of the batch executor are read: sums, extremes, last rows, standing items.

Every feature takes whole numbers from prefix sums and one float step at the end, as `windows.py` does for a
single question. It must not know tables; `batch.py` brings rows in the order of their search.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from mlplatform.errors import FeatureError
from mlplatform.stages.preparation.declarations import Agg, ExponentialMean, Last
from mlplatform.stages.preparation.durations import microseconds
from mlplatform.stages.preparation.search import (
    LARGEST,
    Bools,
    Ints,
    Questions,
    Search,
    count_at_least,
    extremes,
    prefix_sums,
    sorted_rows,
)

Floats = npt.NDArray[np.float64]

MINUTE = 60_000_000


@dataclass(frozen=True)
class Prefix:
    """Prefix sums of one column: rows that have a value, their sum, their sum of squares; the values."""

    count: Ints
    total: Ints
    squares: Ints
    values: Ints
    present: Bools
    positions: Ints
    """Of the rows that have a value."""

    @classmethod
    def of(cls, rows: pl.DataFrame, order: Ints, feature: Agg | ExponentialMean) -> "Prefix":
        """Of the column that `feature` aggregates, rows in `order`."""
        if feature.value is None:
            present = np.ones(len(order), dtype=bool)
            n = prefix_sums(present)
            return cls(n, n, n, order, present, np.arange(len(order)))
        require_columns(
            rows, [feature.value], f"source {feature.source.name!r} (read by feature {feature.name!r})"
        )
        series = _whole_numbers(rows[feature.value], feature)
        present = series.is_not_null().to_numpy()[order]
        values = series.fill_null(0).to_numpy()[order]
        largest = int(np.abs(values).max(initial=0))
        if len(order) ** 2 * largest**2 >= LARGEST:
            raise FeatureError(
                f"feature {feature.name!r}: {len(order)} rows of up to {largest} can sum beyond the whole "
                "numbers that are exact.",
                hint="Use a coarser scale, a shorter range, or clip the column in preparation.",
            )
        sums = prefix_sums(present), prefix_sums(values), prefix_sums(values * values)
        return cls(*sums, values, present, np.flatnonzero(present))

    def latest(self, low: Ints, high: Ints, most: int | None) -> Ints:
        """Where the latest `most` rows with a value begin, of rows low … high − 1."""
        if most is None:
            return low
        first = self.count[high] - most
        inside = first > self.count[low]
        begin = low.copy()
        begin[inside] = self.positions[first[inside]]
        return begin


def _whole_numbers(series: pl.Series, feature: Agg | ExponentialMean) -> pl.Series:
    if series.dtype.is_integer() or series.dtype == pl.Boolean:
        return series.cast(pl.Int64) * feature.scale
    if series.dtype.is_float() and feature.scale > 1:
        return (series * float(feature.scale) + 0.5).floor().cast(pl.Int64)
    raise FeatureError(
        f"feature {feature.name!r} aggregates {feature.value!r} of type {series.dtype}; allowed: whole "
        "numbers, true/false, or decimals with a scale.",
        hint="Declare scale=10, 100, …: the value times scale is rounded to a whole number.",
    )


def aggregate(feature: Agg, prefix: Prefix, search: Search) -> pl.Series:
    """An aggregate per question: Int64 (count, unscaled sum, min and max) or Float64, missing as declared."""
    asked = ~search.questions.missing
    high = search.until(0)
    low = prefix.latest(search.until(microseconds(feature.window)), high, feature.last)
    n = prefix.count[high] - prefix.count[low]
    if feature.fn == "count":
        return masked(n, asked)
    total = prefix.total[high] - prefix.total[low]
    match feature.fn:
        case "sum":
            return masked(_unscaled(total, feature.scale), asked)
        case "mean":
            return masked(total / np.maximum(n * feature.scale, 1), (n > 0) & asked)
        case "std":
            spread = n * (prefix.squares[high] - prefix.squares[low]) - total * total
            root = np.sqrt(spread / np.maximum(n * (n - 1), 1))
            return masked(root / feature.scale, (n > 1) & asked)
        case _:
            largest = feature.fn == "max"
            extreme = extremes(prefix.values, prefix.present, low, high, largest=largest)
            return masked(_unscaled(extreme, feature.scale), (n > 0) & asked)


def exponential(feature: ExponentialMean, prefix: Prefix, search: Search) -> pl.Series:
    """The weighted mean of the latest values of the window per question, missing where there is none."""
    high, low = search.until(0), search.until(microseconds(feature.window))
    newest, oldest = prefix.count[high] - 1, prefix.count[low]
    values = prefix.values[prefix.positions]
    largest = int(np.abs(values).max(initial=0))
    if largest * sum(feature.weights) >= LARGEST // 2**9:  # the last whole number that is exact as a float
        raise FeatureError(
            f"feature {feature.name!r}: values of up to {largest} with these weights "
            "sum beyond the whole numbers that are exact.",
            hint="Use fewer values, a decay with fewer digits, or a coarser scale.",
        )
    total, weight = np.zeros(len(high), np.int64), np.zeros(len(high), np.int64)
    for age, share in enumerate(feature.weights):
        there = newest - age >= oldest
        total[there] += share * values[newest[there] - age]
        weight += share * there
    found = (weight > 0) & ~search.questions.missing
    return masked(total / np.maximum(weight * feature.scale, 1), found)


def distinct(feature: Agg, rows: pl.DataFrame, order: Ints, search: Search) -> pl.Series:
    """How many different values the rows of the window have.

    Of equal values of a key the first in the window counts: the one whose predecessor lies before the window.
    """
    name = feature.value or ""
    require_columns(rows, [name], f"source {feature.source.name!r} (read by feature {feature.name!r})")
    if rows[name].dtype.is_float():
        raise FeatureError(
            f"feature {feature.name!r} counts different {name!r} of type {rows[name].dtype}; allowed: text, "
            "whole numbers, true/false, times.",
            hint="Count different values of a column that is rounded or grouped in preparation.",
        )
    values = rows[name].gather(order)
    present = values.is_not_null().to_numpy()
    frame = pl.DataFrame({"key": search.codes, "value": values, "at": np.arange(len(order))})
    before = frame.select(pl.col("at").shift(1).over("key", "value").fill_null(-1) + 1).to_series().to_numpy()
    before = np.where(present, before, 0)
    count, positions = prefix_sums(present), np.flatnonzero(present)
    high, low = search.until(0), search.until(microseconds(feature.window))
    if feature.last is not None:
        nothing = prefix_sums(np.zeros(len(order), np.int64))
        low = Prefix(count, nothing, nothing, order, present, positions).latest(low, high, feature.last)
    again = count_at_least(before, high, low + 1)
    return masked(count[high] - count[low] - again, ~search.questions.missing)


def last(feature: Last, rows: pl.DataFrame, order: Ints, search: Search) -> pl.Series:
    """A column of the latest row per question, or its age in minutes; missing where there is no such row."""
    ago = microseconds(feature.ago)
    high, low = search.until(ago), search.until(ago + microseconds(feature.max_age))
    found = (high > low) & ~search.questions.missing
    position = np.where(found, high - 1, 0)
    if feature.value == "age":
        known = search.times[position] if len(order) else search.questions.times
        return masked((search.questions.times - known) // MINUTE, found)
    require_columns(
        rows, [feature.value], f"source {feature.source.name!r} (read by feature {feature.name!r})"
    )
    values = rows[feature.value]
    if not len(order):
        return pl.Series([None] * len(found), dtype=values.dtype)
    chosen = values.gather(order[position])
    return pl.select(pl.when(pl.Series(found)).then(chosen)).to_series()


def standing(first: Ints, end: Ints, weight: Ints, codes: Ints, questions: Questions) -> tuple[Ints, Ints]:
    """Number and total weight of the intervals [first, end) of its key that hold each question's time."""
    lasting = first < end
    count, total = np.zeros(len(questions.times), np.int64), np.zeros(len(questions.times), np.int64)
    for sign, moment in ((1, first[lasting]), (-1, end[lasting])):
        keys, load = codes[lasting], weight[lasting]
        order = sorted_rows(keys, moment)
        search = Search(keys[order], moment[order], questions)
        high, low = search.until(0), search.start()
        sums = prefix_sums(load[order])
        count += sign * (high - low)
        total += sign * (sums[high] - sums[low])
    return count, total


def masked(values: Ints | Floats, present: Bools) -> pl.Series:
    """The values, missing where not `present`."""
    return pl.select(pl.when(pl.Series(present)).then(pl.Series(values))).to_series()


def _unscaled(values: Ints, scale: int) -> Ints | Floats:
    return values if scale == 1 else values / scale


def require_columns(frame: pl.DataFrame, columns: Sequence[str], what: str) -> None:
    """Refuse a frame that lacks a column.

    Raises
    ------
    FeatureError
        naming what is missing and what is there.
    """
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise FeatureError(
            f"{what} has no column {', '.join(map(repr, missing))}; it has: {', '.join(frame.columns)}.",
            hint="Check the spelling in features.py, or add the column where the table is cleaned.",
        )
