"""Silhouette: whether rows lie nearer to their own cluster than to the next one.

It must not scale the features: distances are those of the matrix it is given, as the clustering saw it.
"""

import numpy as np

from mlplatform.stages.evaluation.checks import check_clusters
from mlplatform.stages.evaluation.evaluators._silhouettes import Places, sample
from mlplatform.stages.evaluation.evaluators._silhouettes import silhouettes as silhouettes
from mlplatform.stages.evaluation.values import Bar, Evaluation, Floats, Picture

TASKS = ("clustering",)
MOST_BARS = 20


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
    kept = sample(p, X)
    if len(np.unique(p[kept])) > 1:
        figures["silhouette"] = float(silhouettes(p[kept], X[kept]).mean())
    return Evaluation(figures, _picture(numbers, sizes))


def _inertia(X: Floats, own: Places, sizes: Places) -> float:
    total = 0.0
    for column in X.T:
        centre = np.bincount(own, column) / sizes
        total += float(((column - centre[own]) ** 2).sum())
    return total


def _picture(numbers: Floats, sizes: Places) -> Picture:
    largest = np.argsort(-sizes, kind="stable")[:MOST_BARS]
    bars = (Bar(f"cluster {numbers[at]:.0f}", float(sizes[at]), f"{int(sizes[at]):,} rows") for at in largest)
    return Picture(title="Sizes of the clusters", x_label="rows", bars=tuple(bars))
