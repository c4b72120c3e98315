"""scikit-learn's histogram gradient boosting: what it is given and how its trees are read; must not predict.

It orders categories before numbers and wants codes 0 .. m-1 without a gap, so features are given to it in
that order and the codes of its nodes are translated back.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlplatform.errors import ModelError
from mlplatform.stages.training.contract import Floats, TrainingSet
from mlplatform.stages.training.models._numbers import Index, sigmoid, sigmoids
from mlplatform.stages.training.models._trees import Codes, Tree

_CHECKED = 2_000
"""Training rows that are scored both ways."""


def _exp(total: float) -> float:
    return math.exp(min(total, 700.0))  # beyond it exp overflows


LINKS: Mapping[str, Callable[[float], float]] = {"identity": float, "sigmoid": sigmoid, "exp": _exp}
LINKS_OF_MANY: Mapping[str, Callable[[Floats], Floats]] = {
    "identity": lambda totals: totals,
    "sigmoid": sigmoids,
    # By the same scalar function, since a vectorised exp need not round like it.
    "exp": lambda totals: np.fromiter(map(_exp, totals.tolist()), np.float64, len(totals)),
}


@dataclass(frozen=True)
class Encoded:
    """Training rows as scikit-learn takes them.

    order: which feature each column is; the first `len(codes)` are categories, and codes[i][c] is the code
    that column i spells c.
    """

    X: Floats
    order: Index
    codes: list[Index]


def encode(training: TrainingSet, most: int) -> Encoded:
    """Categories first, as gapless codes of at most `most` values; the rest and the negative are missing.

    Columns without any value are left out: scikit-learn cannot bin them, and no split could use them.
    """
    categories = training.category_columns
    encoded, codes, order = [], [], []
    for i in categories:
        x, kept = _gapless(training.X[:, i], most)
        if len(kept):
            encoded.append(x)
            codes.append(kept)
            order.append(i)
    for i in range(len(training.names)):
        if i not in categories and not np.isnan(training.X[:, i]).all():
            encoded.append(training.X[:, i])
            order.append(i)
    if not encoded:
        raise ModelError("histogram_gradient_boosting: got no feature with a value.")
    return Encoded(np.column_stack(encoded), np.array(order, dtype=np.intp), codes)


def _gapless(x: Floats, most: int) -> tuple[Floats, Index]:
    """The codes in x as their places among the kept ones, NaN for others, and the kept ones."""
    seen, counts = np.unique(x[x >= 0], return_counts=True)
    kept = np.sort(seen[np.argsort(-counts, kind="stable")[:most]])
    return np.where(np.isin(x, kept), np.searchsorted(kept, x), np.nan), kept.astype(np.intp)


def fit(training: TrainingSet, encoded: Encoded, params: Mapping[str, Any]) -> Any:
    """The fitted scikit-learn estimator of the task."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    categories = list(range(len(encoded.codes)))
    given = dict(params) | {"early_stopping": False, "categorical_features": categories or None}
    if training.task == "classification":
        given["loss"] = "log_loss"
        return HistGradientBoostingClassifier(**given).fit(encoded.X, training.y)
    return HistGradientBoostingRegressor(**given).fit(encoded.X, training.y)


def export(fitted: Any, encoded: Encoded) -> tuple[float, list[Tree]]:
    """Baseline and trees of a fitted estimator, in the features and codes of the training set."""
    baseline = float(np.asarray(fitted._baseline_prediction).reshape(-1)[0])
    return baseline, [_tree(one, encoded) for (one,) in fitted._predictors]


def check_agrees(
    fitted: Any, encoded: Encoded, training: TrainingSet, predict: Callable[[Floats], Floats]
) -> None:
    """ModelError unless `predict` gives training rows the scores scikit-learn gives them."""
    rows = np.linspace(0, len(training.X) - 1, min(_CHECKED, len(training.X))).astype(np.intp)
    X = encoded.X[rows]
    theirs = fitted.predict_proba(X)[:, 1] if training.task == "classification" else fitted.predict(X)
    if not np.allclose(predict(training.X[rows]), theirs, rtol=1e-9, atol=1e-12):
        raise ModelError(
            "histogram_gradient_boosting: the trees read from scikit-learn do not score as it does.",
            hint="This version of scikit-learn keeps its trees in another way: install requirements.lock.",
        )


def _tree(predictor: Any, encoded: Encoded) -> Tree:
    nodes = predictor.nodes
    inner, places = nodes["is_leaf"] == 0, np.arange(len(nodes))
    column = np.where(inner, nodes["feature_idx"], 0)
    of_codes = np.flatnonzero(inner & (nodes["is_categorical"] != 0))
    bits = predictor.raw_left_cat_bitsets
    # scikit-learn spells a split that parts the missing from all others by an infinite threshold.
    threshold = np.where(inner & (nodes["is_categorical"] == 0), nodes["num_threshold"], 0.0)
    return Tree(
        feature=encoded.order[column].tolist(),
        threshold=np.nan_to_num(threshold).tolist(),
        missing_left=(nodes["missing_go_to_left"] != 0).tolist(),
        left=np.where(inner, nodes["left"], places).tolist(),
        right=np.where(inner, nodes["right"], places).tolist(),
        value=nodes["value"].tolist(),
        codes={int(n): _codes(bits[nodes["bitset_idx"][n]], encoded.codes[column[n]]) for n in of_codes},
    )


def _codes(bits: Any, codes: Index) -> Codes:
    """The codes of one node by side; bit c of the 8 words stands for codes[c]."""
    places = np.arange(len(codes))
    left = (bits[places // 32] >> (places % 32).astype(np.uint32)) & 1 == 1
    return Codes(codes[left].tolist(), codes[~left].tolist())
