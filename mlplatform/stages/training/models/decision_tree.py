"""Decision tree: fitted by scikit-learn on binned features, kept as arrays, walked by our own code.

A row goes left where x <= threshold, and where x is missing as the node learned. It must not cast to
float32 to predict: thresholds are values of the training rows, compared in float64.
"""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt

from mlplatform.stages.training import parameters
from mlplatform.stages.training.contract import (
    Floats,
    Model,
    TrainingSet,
    as_batch,
    check_learnable,
    wrong_width,
)
from mlplatform.stages.training.models._numbers import spaced

_BINS = 64
_SAMPLE = 50_000
"""Rows that decide the borders of the bins."""


class Parameters(msgspec.Struct, frozen=True):
    """What defs.yaml may say; the meaning is scikit-learn's."""

    max_depth: Annotated[int, msgspec.Meta(ge=1, le=30)] = 8
    min_samples_leaf: Annotated[int, msgspec.Meta(ge=1)] = 200
    ccp_alpha: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    max_rows: Annotated[int, msgspec.Meta(ge=100)] = 150_000
    """With more rows, this many evenly spaced ones are fitted."""


class Saved(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="decision_tree", tag_field="kind"):
    """The content of model.json: arrays over nodes; node 0 is the root, a leaf is its own child."""

    names: tuple[str, ...]
    feature: list[int]
    threshold: list[float]
    missing_left: list[bool]
    left: list[int]
    right: list[int]
    rate: list[float]

    def __post_init__(self) -> None:
        """A walk ends: children come after their parent, and every array has one entry per node."""
        nodes = len(self.rate)
        arrays = (self.feature, self.threshold, self.missing_left, self.left, self.right)
        if not nodes or any(len(array) != nodes for array in arrays):
            raise ValueError("the arrays of the tree differ in length")
        for node, (left, right, feature) in enumerate(zip(self.left, self.right, self.feature, strict=True)):
            leaf = left == right == node
            down = node < left < nodes and node < right < nodes
            if not (leaf or down) or not 0 <= feature < len(self.names):
                raise ValueError(f"node {node} of the tree points nowhere")


def build(**params: object) -> "DecisionTreeEstimator":
    """An estimator with these `Parameters`; ConfigurationError for any other."""
    return DecisionTreeEstimator(parameters.read("decision_tree", params, Parameters))


def load(files: Mapping[str, bytes]) -> Model:
    """The model saved in `files`."""
    return DecisionTree(parameters.decode("decision_tree", files, Saved))


@dataclass(frozen=True)
class DecisionTreeEstimator:
    """scikit-learn's tree on bins: three times faster than on raw values, and no less accurate."""

    params: Parameters

    def fit(self, training: TrainingSet) -> Model:
        """The tree of least Gini impurity of `training`."""
        from sklearn.tree import DecisionTreeClassifier

        check_learnable(training)
        rows = spaced(len(training.y), self.params.max_rows)
        binned, edges = _binned(training.X[rows])
        solver = DecisionTreeClassifier(
            max_depth=self.params.max_depth,
            min_samples_leaf=self.params.min_samples_leaf,
            ccp_alpha=self.params.ccp_alpha,
            random_state=0,
        )
        tree = solver.fit(binned, training.y[rows]).tree_
        inner = tree.children_left >= 0
        nodes = np.arange(tree.node_count)
        feature = np.where(inner, tree.feature, 0)  # a leaf has feature -2
        saved = Saved(
            names=training.names,
            feature=feature.tolist(),
            threshold=[_threshold(edges[f], t) for f, t in zip(feature, tree.threshold, strict=True)],
            missing_left=tree.missing_go_to_left.astype(bool).tolist(),
            left=np.where(inner, tree.children_left, nodes).tolist(),
            right=np.where(inner, tree.children_right, nodes).tolist(),
            rate=tree.value[:, 0, 1].tolist(),
        )
        return DecisionTree(saved)


class DecisionTree:
    """A fitted tree."""

    def __init__(self, saved: Saved) -> None:
        self._saved = saved

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names in the order of the columns."""
        return self._saved.names

    def predict(self, X: Floats) -> Floats:
        """Rates (rows,) of the leaves of X (rows, features); all rows take one step down at a time."""
        X = as_batch(X, self.names)
        saved = self._saved
        feature, threshold = np.array(saved.feature), np.array(saved.threshold)
        left, right, missing = np.array(saved.left), np.array(saved.right), np.array(saved.missing_left)
        node = np.zeros(len(X), dtype=np.intp)
        rows = np.arange(len(X))
        while True:
            x = X[rows, feature[node]]
            goes_left = np.where(np.isnan(x), missing[node], x <= threshold[node])
            below = np.where(goes_left, left[node], right[node])
            if np.array_equal(below, node):
                return np.array(saved.rate)[node]
            node = below

    def row_scorer(self) -> Callable[[Sequence[float]], float]:
        """`predict` for one row: a walk in plain Python."""
        s, names = self._saved, self.names
        nodes = list(zip(s.feature, s.threshold, s.missing_left, s.left, s.right, strict=True))
        rates = s.rate

        def score(row: Sequence[float]) -> float:
            if len(row) != len(names):
                raise wrong_width(len(row), names)
            node, below = -1, 0
            while below != node:
                node = below
                feature, threshold, missing_left, left, right = nodes[node]
                x = row[feature]
                below = left if (x <= threshold or (missing_left and x != x)) else right
            return rates[node]

        return score

    def files(self) -> dict[str, bytes]:
        """model.json."""
        return {"model.json": msgspec.json.encode(self._saved)}


def _binned(X: Floats) -> tuple[npt.NDArray[np.float32], list[Floats]]:
    """Bin numbers (rows, features), NaN kept, and edges per feature: edges[b-1] < x <= edges[b] in bin b.

    The edges are values of X, so that a threshold between two bins is exact for every training row.
    """
    binned = np.empty(X.shape, dtype=np.float32, order="F")
    sample = slice(None, None, max(1, len(X) // _SAMPLE))
    edges = []
    for i in range(X.shape[1]):
        x = np.ascontiguousarray(X[:, i])
        known = x[sample][~np.isnan(x[sample])]
        shares = np.linspace(0.0, 1.0, _BINS + 1)[1:-1]
        edges.append(np.unique(np.quantile(known, shares, method="lower")) if len(known) else np.empty(0))
        binned[:, i] = np.where(np.isnan(x), np.nan, np.searchsorted(edges[i], x, side="left"))
    return binned, edges


def _threshold(edges: Floats, border: float) -> float:
    """The value at `border` between two bins; an infinite one parts the missing from all others."""
    if math.isinf(border):
        return sys.float_info.max
    return float(edges[int(border)]) if border >= 0.0 else 0.0
