"""The silhouette of single rows, and the sample it is taken on; it must not take a mean.

Distances are those of the matrix it is given; their number grows with the square of the rows.
"""

import numpy as np
from numpy.typing import NDArray

from mlplatform.stages.evaluation.values import Floats

MOST_ROWS = 2_000
"""Rows of the sample that distances are taken between."""
SEED = 7
Places = NDArray[np.intp]


def silhouettes(p: Floats, X: Floats) -> Floats:
    """The silhouette of each row (n,), at least two clusters among them; n² distances are held at once."""
    numbers, own, sizes = np.unique(p, return_inverse=True, return_counts=True)
    members = (own[:, None] == np.arange(len(numbers))).astype(np.float64)
    sums = _distances(X) @ members
    rows = np.arange(len(p))
    inner = sums[rows, own] / np.maximum(sizes[own] - 1, 1)
    outer = sums / sizes
    outer[rows, own] = np.inf
    nearest = outer.min(axis=1)
    larger = np.maximum(inner, nearest)
    found = np.divide(nearest - inner, larger, out=np.zeros(len(p)), where=larger > 0.0)
    return np.where(sizes[own] > 1, found, 0.0)


def _distances(X: Floats) -> Floats:
    centred = X - X.mean(axis=0)
    squares = (centred**2).sum(axis=1)
    distances: Floats = np.sqrt(np.maximum(squares[:, None] + squares - 2.0 * centred @ centred.T, 0.0))
    np.fill_diagonal(distances, 0.0)
    return distances


def sample(p: Floats, X: Floats) -> Places:
    """Places of the sampled rows; drawn from the sorted rows, so that their order decides nothing."""
    if len(p) <= MOST_ROWS:
        return np.arange(len(p))
    order = np.lexsort((*X.T, p))
    # RandomState's stream is frozen, that of the newer generators is not: the figure outlives an upgrade.
    places = np.random.RandomState(SEED).permutation(len(p))[:MOST_ROWS]
    return order[np.sort(places)]
