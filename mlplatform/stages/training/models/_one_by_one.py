"""What a scikit-learn estimator is given, row by row and in batch, and what is read of its answer.

It must not trust a library to score a row alone as it does among others.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from mlplatform.errors import ModelError
from mlplatform.stages.training.contract import Floats, Task
from mlplatform.stages.training.models import _design

Scores = Callable[[Floats], Floats]

_FAR = 1e6
"""Standard deviations beyond which a value is cut off, and the largest number taken as it is: many estimators
cast to float32 and refuse what it cannot hold."""
_LARGE = 3e38
_PER_ROW = (
    "sklearn.tree.",
    "sklearn.ensemble._forest",
    "sklearn.ensemble._gb",
    "sklearn.ensemble._hist_gradient_boosting.",
)
"""Modules of estimators that walk down trees: no row takes part in the score of another."""
_PROBED = 67


def matrix(X: Floats, columns: Sequence[_design.Column]) -> Floats:
    """What the estimator sees of X, C-contiguous; without columns, the features as they are."""
    if not columns:
        return np.clip(X, -_LARGE, _LARGE)
    return np.ascontiguousarray(np.clip(_design.matrix(X, columns), -_FAR, _FAR))


def line(row: Sequence[float], columns: Sequence[_design.Column]) -> list[float]:
    """`matrix` for one row, to the bit."""
    most = _FAR if columns else _LARGE
    values = _design.line(row, columns) if columns else row
    return [min(max(float(x), -most), most) if x == x else float(x) for x in values]


def scores_of(estimator: Any, task: Task) -> Scores:
    """A function from what the estimator sees (rows, columns) to its scores (rows,).

    With one thread: two that share one row cost 20 times as much, and decide which of equal neighbours is
    found first.
    """

    threads = ThreadpoolController()  # finding the pools takes milliseconds, limiting them microseconds
    ask = (lambda X: estimator.predict_proba(X)[:, 1]) if task == "classification" else estimator.predict

    def scores(design: Floats) -> Floats:
        try:
            with threads.limit(limits=1):
                found = ask(design)
        except (ValueError, TypeError, AttributeError) as error:
            raise ModelError(
                f"scikit_learn: {type(estimator).__name__} refuses a row: {error}.",
                hint="`columns: standardised` leaves no missing value.",
            ) from error
        return np.asarray(found, dtype=np.float64).reshape(-1)

    return scores


def may_batch(estimator: Any, scores: Scores) -> bool:
    """Whether the estimator scores per row by its nature, and rows of chance bear it out to the bit."""
    if not type(estimator).__module__.startswith(_PER_ROW):
        return False
    rows = np.random.default_rng(0).normal(size=(_PROBED, estimator.n_features_in_))
    alone = np.concatenate([scores(row[None, :]) for row in rows])
    return bool(scores(rows).tobytes() == alone.tobytes())
