"""Silhouette: whether rows lie nearer to their own cluster than to the next one.

It must not scale the features: distances are those of the matrix it is given, as the clustering saw it.
"""

import numpy as np
from numpy.typing import NDArray

from mlplatform.stages.evaluation.checks import check_clusters
from mlplatform.stages.evaluation.values import Bar, Evaluation, Floats, Picture

TASKS = ("clustering",)
MOST_ROWS = 2_000
"""Rows of the sample that distances are taken between: their number grows with its square."""
SEED = 7
MOST_BARS = 20
Places = NDArray[np.intp]


def evaluate(y: Floats, p: Floats, X: Floats) -> Evaluation:
    """Mean silhouette on at most 2,000 rows, inertia of all rows, and the sizes of the clusters.

    s = (b - a) / max(a, b), a the mean Euclidean distance to the row's own cluster, b that to the nearest
    other one, 0 in a cluster of one row (Rousseeuw 1987, doi:10.1016/0377-0427(87)90125-7). Inertia is the
    sum of squared distances to the mean of the own cluster, which k-means makes small (MacQueen 1967).

    Parameters
    ----------
    y : (n,) not looked at: clusters have no outcome
    p : (n,) the number of each row's cluster, at least two of them
    X : (n, features) finite

    Returns
    -------
    Evaluation
        figures `silhouette` in [-1, 1] unless the sample lies in one cluster, `inertia` >= 0, `clusters` and
        `smallest_cluster_share`; the sizes as bars.

    Raises
    ------
    ModelError
        if clusters or features cannot be judged.
    """
    check_clusters(p, X)
    numbers, own, sizes = np.unique(p, return_inverse=True, return_counts=True)
    figures = {
        "inertia": _inertia(X, own, sizes),
        "clusters": float(len(numbers)),
        "smallest_cluster_share": float(sizes.min() / len(p)),
    }
    kept = _sample(p, X)
    if len(np.unique(p[kept])) > 1:
        figures["silhouette"] = float(silhouettes(p[kept], X[kept]).mean())
    return Evaluation(figures, _picture(numbers, sizes))


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


def _inertia(X: Floats, own: Places, sizes: Places) -> float:
    total = 0.0
    for column in X.T:
        centre = np.bincount(own, column) / sizes
        total += float(((column - centre[own]) ** 2).sum())
    return total


def _sample(p: Floats, X: Floats) -> Places:
    """Places of the sampled rows; drawn from the sorted rows, so that their order decides nothing."""
    if len(p) <= MOST_ROWS:
        return np.arange(len(p))
    order = np.lexsort((*X.T, p))
    # RandomState's stream is frozen, that of the newer generators is not: the figure outlives an upgrade.
    places = np.random.RandomState(SEED).permutation(len(p))[:MOST_ROWS]
    return order[np.sort(places)]


def _picture(numbers: Floats, sizes: Places) -> Picture:
    largest = np.argsort(-sizes, kind="stable")[:MOST_BARS]
    bars = (Bar(f"cluster {numbers[at]:.0f}", float(sizes[at]), f"{int(sizes[at]):,} rows") for at in largest)
    return Picture(title="Sizes of the clusters", x_label="rows", bars=tuple(bars))
