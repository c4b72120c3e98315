"""The columns a linear model is fitted on, and the way back from their weights to one term per feature.

A number becomes its standardised value and, where it is often missing, an indicator; a category becomes one
column per frequent code. It must not see labels.
"""

from collections.abc import Sequence

import msgspec
import numpy as np

from mlplatform.stages.training.contract import Floats, TrainingSet
from mlplatform.stages.training.models._numbers import Index, slot, slots

_OFTEN = 0.005
"""Share of missing values from which their absence may tell something."""


class Number(msgspec.Struct, frozen=True, tag="number"):
    """Term of a number x: (x - centre) * weight; `absent` when x is missing."""

    centre: float
    weight: float
    absent: float


class Category(msgspec.Struct, frozen=True, tag="category"):
    """Term of a category: `table[code]`; the last two entries are those of MISSING and UNKNOWN."""

    table: tuple[float, ...]


class NumberColumn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="number"):
    """How a number is standardised; `median` replaces a missing one."""

    median: float
    centre: float
    scale: float
    indicator: bool

    @property
    def width(self) -> int:
        """Columns of the design matrix."""
        return 1 + self.indicator

    def values(self, x: float) -> list[float]:
        """`fill` for one value, to the bit."""
        absent = x != x
        standardised = ((self.median if absent else x) - self.centre) / self.scale
        return [standardised, float(absent)] if self.indicator else [standardised]

    def fill(self, x: Floats, out: Floats) -> None:
        """Write the columns of the values x into `out` (rows, width)."""
        absent = np.isnan(x)
        out[:, 0] = (np.where(absent, self.median, x) - self.centre) / self.scale
        if self.indicator:
            out[:, 1] = absent

    def term(self, weights: Floats) -> Number:
        """The term these weights of the columns mean."""
        weight = float(weights[0]) / self.scale
        absent = (self.median - self.centre) * weight + (float(weights[1]) if self.indicator else 0.0)
        return Number(self.centre, weight, absent)


class CategoryColumn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="category"):
    """Which column each slot of a category has: `place[code]`, then MISSING and UNKNOWN."""

    place: tuple[int, ...]
    width: int

    def __post_init__(self) -> None:
        if len(self.place) < 2 or not all(0 <= place < self.width for place in self.place):
            raise ValueError("a category has a place outside of its columns")

    def values(self, x: float) -> list[float]:
        """`fill` for one code."""
        row = [0.0] * self.width
        row[self.place[slot(x, len(self.place) - 2)]] = 1.0
        return row

    def fill(self, x: Floats, out: Floats) -> None:
        """Write the columns of the codes x into `out` (rows, width)."""
        out[:] = 0.0
        out[np.arange(len(x)), np.array(self.place)[slots(x, len(self.place) - 2)]] = 1.0

    def term(self, weights: Floats) -> Category:
        """The term these weights of the columns mean."""
        return Category(tuple(weights[list(self.place)].tolist()))


Column = NumberColumn | CategoryColumn
Rows = slice | Index


def columns(training: TrainingSet, rows: Rows, max_levels: int) -> list[Column]:
    """One entry per feature, fitted on these rows."""
    found: list[Column] = []
    for i, name in enumerate(training.names):
        x = training.X[rows, i]
        known = training.categories.get(name)
        found.append(_number(x) if known is None else _category(x, known, max_levels))
    return found


def matrix(X: Floats, columns: Sequence[Column]) -> Floats:
    """The design matrix (rows, sum of widths), float64."""
    design = np.empty((len(X), sum(column.width for column in columns)), order="F")
    start = 0
    for i, column in enumerate(columns):
        column.fill(X[:, i], design[:, start : start + column.width])
        start += column.width
    return design


def line(row: Sequence[float], columns: Sequence[Column]) -> list[float]:
    """The design matrix's line of one row: equal to `matrix` to the bit, in plain Python."""
    return [value for x, column in zip(row, columns, strict=True) for value in column.values(x)]


def terms(columns: Sequence[Column], weights: Floats) -> tuple[Number | Category, ...]:
    """One term per feature, from the weights of the design matrix."""
    borders = np.cumsum([column.width for column in columns])[:-1]
    return tuple(c.term(w) for c, w in zip(columns, np.split(weights, borders), strict=True))


def _number(x: Floats) -> NumberColumn:
    present = x[~np.isnan(x)]
    if not len(present):
        return NumberColumn(0.0, 0.0, 1.0, indicator=False)
    median = float(np.median(present))
    filled = np.where(np.isnan(x), median, x)
    centre, spread = float(filled.mean()), float(filled.std())
    often = len(x) - len(present) >= _OFTEN * len(x) and len(present) < len(x)
    # A constant column stays 0 after centring, so its weight stays 0 whatever the scale.
    scale = spread if spread > 1e-12 * max(1.0, abs(centre)) else 1.0
    return NumberColumn(median, centre, scale, indicator=often)


def _category(x: Floats, known: int, max_levels: int) -> CategoryColumn:
    """Codes in no row, and those beyond `max_levels`, share the column of UNKNOWN."""
    counts = np.bincount(slots(x, known) % (known + 2), minlength=known + 2)
    frequent = np.argsort(-counts[:known], kind="stable")[:max_levels]
    kept = np.sort(frequent[counts[frequent] > 0])
    place = np.full(known + 2, len(kept) + 1, dtype=np.intp)
    place[kept] = np.arange(len(kept))
    place[known] = len(kept)
    return CategoryColumn(tuple(place.tolist()), len(kept) + 2)
