"""Profiles: what is kept of a column to compare later data with it, small enough to be stored with a model.

A missing value (null, or NaN in a column of numbers) is counted, never compared as a value. They must not
judge: drift.py turns a profile and a frame into drift figures.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from mlplatform.errors import FeatureError

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

SLICES = 200
"""Equal-mass slices whose means stand for a distribution in the Wasserstein distance."""
RARE_SHARE = 0.005
"""A category below this share of the reference is grouped with the other rare ones."""


class NumberProfile(msgspec.Struct, frozen=True, tag="number"):
    """A column of numbers: `counts[i]` values lie in (edges[i-1], edges[i]], the last count beyond all edges.

    The edges are the deciles, the maximum, and a number just below the minimum, each once: so a value outside
    everything seen has a bin of its own. `slices` are the means of 200 equal-mass slices, low to high (empty
    if no value is present); `spread` is the standard deviation.
    """

    name: str
    rows: int
    missing: int
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    slices: tuple[float, ...]
    spread: float


class CategoryProfile(msgspec.Struct, frozen=True, tag="category"):
    """A column of categories: `counts` of the levels that are not rare, and the names of those that are."""

    name: str
    rows: int
    missing: int
    counts: dict[str, int]
    rare: dict[str, int]


Profile = NumberProfile | CategoryProfile


def profile(
    frame: pl.DataFrame, *, numerical: Sequence[str], categorical: Sequence[str]
) -> tuple[Profile, ...]:
    """Profile the named columns of a reference frame.

    Parameters
    ----------
    frame : one row per observation
    numerical : columns of numbers or booleans; null and NaN are missing
    categorical : columns of any type, compared as text; null (and NaN) is missing

    Raises
    ------
    FeatureError
        if a column is not there, is not of numbers, or holds an infinite value.
    """
    numbers = (_number_profile(name, *present(frame, name)) for name in numerical)
    return (*numbers, *(_category_profile(frame, name) for name in categorical))


def present(frame: pl.DataFrame, name: str) -> tuple[Floats, int]:
    """The present values of a column of numbers in ascending order, and how many are missing.

    Raises
    ------
    FeatureError
        if the column is not there, is not of numbers, or holds an infinite value.
    """
    column = _column(frame, name)
    if not (column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null)):
        raise FeatureError(
            f"column {name!r} is of type {column.dtype}; a numerical profile needs numbers or booleans.",
            hint="Name it among the categorical columns.",
        )
    # numpy sorts NaN to the end, so one sort both orders and separates.
    values = np.sort(column.cast(pl.Float64).to_numpy())
    values = values[: np.searchsorted(values, np.nan)] if len(values) else values
    if len(values) and not (np.isfinite(values[0]) and np.isfinite(values[-1])):
        raise FeatureError(
            f"column {name!r} holds an infinite value; finite numbers, null and NaN are allowed.",
            hint="A feature divides by zero; declare what it is then.",
        )
    return values, frame.height - len(values)


def levels(frame: pl.DataFrame, name: str) -> tuple[dict[str, int], int]:
    """How often every present level of a column occurs, by its text, and how many values are missing."""
    column = _column(frame, name)
    if column.dtype.is_float():
        column = column.fill_nan(None)
    counted = column.drop_nulls().value_counts(name="n")
    names = counted[name].cast(pl.String).to_list()
    return dict(sorted(zip(names, counted["n"].to_list(), strict=True))), column.null_count()


def bin_counts(ordered: Floats, edges: Sequence[float]) -> Counts:
    """How many ascending values lie in (-inf, edges[0]], (edges[0], edges[1]], ..., (edges[-1], inf)."""
    below = np.searchsorted(ordered, np.asarray(edges), side="right")
    return np.diff(below, prepend=0, append=len(ordered)).astype(np.int64)


def slice_means(ordered: Floats, slices: int = SLICES) -> Floats:
    """Means of `slices` equal-mass slices of ascending values, (slices,); a value may lie in two of them.

    Exact for every number of values: the integral of the quantile function between k/slices and (k+1)/slices.
    """
    total = np.concatenate([[0.0], np.cumsum(ordered)])
    at = np.linspace(0.0, len(ordered), slices + 1)
    whole = np.minimum(at.astype(np.int64), len(ordered) - 1)
    integral = total[whole] + (at - whole) * ordered[whole]
    return np.asarray(np.diff(integral) * (slices / len(ordered)))


def _number_profile(name: str, ordered: Floats, missing: int) -> NumberProfile:
    rows = len(ordered) + missing
    if not len(ordered):
        return NumberProfile(name, rows, missing, (), (0,), (), 0.0)
    # The smallest value that a tenth, two tenths, ... of the values do not exceed; whole numbers only.
    places = (np.arange(1, 10) * len(ordered) + 9) // 10 - 1
    outer = [np.nextafter(ordered[0], -np.inf), ordered[-1]]
    edges = np.unique(np.concatenate([ordered[places], outer]))
    return NumberProfile(
        name,
        rows,
        missing,
        tuple(edges.tolist()),
        tuple(bin_counts(ordered, edges.tolist()).tolist()),
        tuple(slice_means(ordered).tolist()),
        # Rounding gives a constant column a standard deviation just above 0.
        float(np.std(ordered)) if ordered[0] != ordered[-1] else 0.0,
    )


def _category_profile(frame: pl.DataFrame, name: str) -> CategoryProfile:
    found, missing = levels(frame, name)
    least = RARE_SHARE * frame.height
    return CategoryProfile(
        name,
        frame.height,
        missing,
        {level: n for level, n in found.items() if n >= least},
        {level: n for level, n in found.items() if n < least},
    )


def _column(frame: pl.DataFrame, name: str) -> pl.Series:
    if name not in frame.columns:
        raise FeatureError(
            f"there is no column {name!r}; the frame has {', '.join(frame.columns) or 'none'}.",
            hint="Compare frames of the feature set the model was trained on.",
        )
    return frame[name]
