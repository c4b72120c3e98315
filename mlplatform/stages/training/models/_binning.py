"""Bins features before scikit-learn grows trees on them, and turns its trees back into arrays of real values.

On bins a tree is fitted three times faster than on raw values, and is no less accurate. It must not be used
to predict: what it gives back compares the features themselves.
"""

import math
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from mlplatform.stages.training.contract import Floats, Task
from mlplatform.stages.training.models._trees import Tree

_BINS = 64
_SAMPLE = 50_000
"""Rows that decide the borders of the bins."""

Binned = npt.NDArray[np.float32]


def binned(X: Floats) -> tuple[Binned, list[Floats]]:
    """Bin numbers (rows, features), NaN kept, and edges per feature: edges[b-1] < x <= edges[b] in bin b.

    The edges are values of X, so that a threshold between two bins is exact for every training row.
    """
    numbers = np.empty(X.shape, dtype=np.float32, order="F")
    sample = slice(None, None, max(1, len(X) // _SAMPLE))
    edges = []
    for i in range(X.shape[1]):
        x = np.ascontiguousarray(X[:, i])
        known = x[sample][~np.isnan(x[sample])]
        shares = np.linspace(0.0, 1.0, _BINS + 1)[1:-1]
        edges.append(np.unique(np.quantile(known, shares, method="lower")) if len(known) else np.empty(0))
        numbers[:, i] = np.where(np.isnan(x), np.nan, np.searchsorted(edges[i], x, side="left"))
    return numbers, edges


def tree_of(fitted: Any, edges: list[Floats], task: Task) -> Tree:
    """The arrays of a scikit-learn `tree_` that was grown on bins with these edges.

    A leaf's value is the rate of label 1 in classification, the mean label in regression.
    """
    inner = fitted.children_left >= 0
    nodes = np.arange(fitted.node_count)
    feature = np.where(inner, fitted.feature, 0)  # a leaf has feature -2
    return Tree(
        feature=feature.tolist(),
        threshold=[_threshold(edges[f], t) for f, t in zip(feature, fitted.threshold, strict=True)],
        missing_left=fitted.missing_go_to_left.astype(bool).tolist(),
        left=np.where(inner, fitted.children_left, nodes).tolist(),
        right=np.where(inner, fitted.children_right, nodes).tolist(),
        value=fitted.value[:, 0, 1 if task == "classification" else 0].tolist(),
    )


def _threshold(edges: Floats, border: float) -> float:
    """The value at `border` between two bins; an infinite one parts the missing from all others."""
    if math.isinf(border):
        return sys.float_info.max
    return float(edges[int(border)]) if border >= 0.0 else 0.0
