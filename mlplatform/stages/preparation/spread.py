"""How the numbers of one column lie within each group: quantiles, moments, values beyond the fences.

A group's figures come from its own ascending values by operations that do not know where the group stands,
so they are the same to the last bit whether it is computed alone or with others. It must not know partitions
or columns; condition.py does.
"""

import itertools

import numpy as np
import numpy.typing as npt
import polars as pl

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

QUANTILES = {"p01": 0.01, "p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "p99": 0.99}
FENCES = 3.0
"""Tukey's outer fences, in interquartile ranges beyond the quartiles: "far out" (Tukey 1977, Exploratory Data
Analysis, section 2D). The inner ones (1.5) would name one in 140 of normal data, these one in 400,000."""


def spread(groups: Ints, values: Floats) -> pl.DataFrame:
    """The figures of every group that has a value, in ascending order of `group`.

    Quantiles interpolate linearly (type 7 of Hyndman & Fan 1996, doi:10.2307/2684934). `deviation` is the
    population standard deviation; `skew` the moment coefficient g1 = m3 / m2^1.5 (Joanes & Gill 1998,
    doi:10.1111/1467-9884.00122), NaN for values without spread. `outliers` counts the values beyond
    `FENCES`; where the quartiles are equal, p05 and p95 stand for them, and where these are equal too
    nothing is beyond: there is no spread to measure in.

    Parameters
    ----------
    groups : (n,) ascending group numbers
    values : (n,) finite numbers
    """
    found, starts, counts = np.unique(groups, return_index=True, return_counts=True)
    values = _sorted_within(values, starts)
    if not len(found):
        return _frame(found, {name: np.empty(0) for name in _NAMES}, np.empty((0,), np.int64), found)
    quantiles = {name: _quantile(values, starts, counts, share) for name, share in QUANTILES.items()}
    low, high = values[starts], values[starts + counts - 1]
    figures = {"low": low, "high": high, **quantiles, **_moments(values, starts, counts)}
    return _frame(found, figures, _distinct(values, starts), _beyond(values, starts, counts, quantiles))


_NAMES = ("low", "high", *QUANTILES, "mean", "deviation", "skew")


def _frame(found: Ints, figures: dict[str, Floats], distinct: Ints, outliers: Ints) -> pl.DataFrame:
    return pl.DataFrame({"group": found, **figures, "distinct": distinct, "outliers": outliers})


def _sorted_within(values: Floats, starts: Ints) -> Floats:
    """A copy, ascending within each group: many small sorts are cheaper than one by (group, value)."""
    ordered = values.copy()
    for start, stop in itertools.pairwise([*starts.tolist(), len(values)]):
        ordered[start:stop].sort()
    return ordered


def _quantile(values: Floats, starts: Ints, counts: Ints, share: float) -> Floats:
    # The place within the group, not within `values`: its rounding must not depend on the groups before.
    within = share * (counts - 1)
    whole = np.floor(within).astype(np.int64)
    below = values[starts + whole]
    above = values[starts + np.minimum(whole + 1, counts - 1)]
    # This form gives equal neighbours back as they are; beyond the floats it is infinite.
    with np.errstate(all="ignore"):
        return np.asarray(below + (within - whole) * (above - below))


def _moments(values: Floats, starts: Ints, counts: Ints) -> dict[str, Floats]:
    """Two passes, so that large means do not swallow small deviations; beyond the floats it is inf or NaN."""
    with np.errstate(all="ignore"):
        mean = np.add.reduceat(values, starts) / counts
        off = values - np.repeat(mean, counts)
        squares = np.add.reduceat(off**2, starts) / counts
        skew = np.add.reduceat(off**3, starts) / counts / squares**1.5
    # Rounding gives a constant group a deviation just above 0, and a skew of chance.
    flat = values[starts] == values[starts + counts - 1]
    return {
        "mean": np.where(flat, values[starts], mean),
        "deviation": np.where(flat, 0.0, np.sqrt(squares)),
        "skew": np.where(flat, np.nan, skew),
    }


def _distinct(values: Floats, starts: Ints) -> Ints:
    new = np.append(True, values[1:] != values[:-1])
    new[starts] = True
    return np.add.reduceat(new.astype(np.int64), starts)


def _beyond(values: Floats, starts: Ints, counts: Ints, quantiles: dict[str, Floats]) -> Ints:
    flat = quantiles["p25"] == quantiles["p75"]
    low = np.where(flat, quantiles["p05"], quantiles["p25"])
    high = np.where(flat, quantiles["p95"], quantiles["p75"])
    with np.errstate(all="ignore"):
        reach = np.where(low == high, np.inf, FENCES * (high - low))
        beyond = (values < np.repeat(low - reach, counts)) | (values > np.repeat(high + reach, counts))
    return np.add.reduceat(beyond.astype(np.int64), starts)
