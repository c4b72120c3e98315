"""Features as few bins, and the table of bins against labels that statistics are computed from.

It must not know which statistic. A missing value is a bin of its own, and so is every code of a category.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

BINS = 10
"""Quantile bins of a number, missing not counted."""


def tables(X: Floats, y: Floats, features: Sequence[str], categories: Mapping[str, int]) -> Iterator[Floats]:
    """Per feature the counts (bins, 2) of rows with label 0 and 1; every bin has rows."""
    for column, name in enumerate(features):
        codes = X[:, column] if name in categories else bins(X[:, column])
        _, places = np.unique(codes, return_inverse=True)
        yield np.stack([np.bincount(places, 1 - y), np.bincount(places, y)], axis=1)


def bins(x: Floats, most: int = BINS) -> Floats:
    """The bin of each value by quantiles of those present; up to `most` different values are a bin each.

    Missing is -1. The largest value is never in one bin with all others, however often it comes.
    """
    absent = np.isnan(x)
    values = np.unique(x[~absent])
    edges = values[:-1]
    if len(values) > most:
        shares = np.arange(1, most) / most
        edges = np.unique(np.minimum(np.quantile(x[~absent], shares, method="lower"), values[-2]))
    codes = np.full(x.shape, -1.0)
    codes[~absent] = np.searchsorted(edges, x[~absent], side="left")
    return codes


def expected(table: Floats) -> Floats:
    """The counts (bins, 2) that a feature without any bearing on the label would have."""
    found: Floats = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    return found
