"""What LightGBM is told about the task: its objective, the order of rows, the labels; must not train.

For a ranking LightGBM wants the rows of a query side by side and whole numbers as relevance.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import lightgbm
import numpy as np

from mlplatform.errors import ModelError
from mlplatform.stages.training.contract import Floats, TrainingSet

_LEVELS = 31
"""Relevances 0 .. 30 have LightGBM's own gains, 2**relevance - 1."""


def objective(training: TrainingSet, regression: str) -> dict[str, object]:
    """LightGBM's parameters for the task of `training`; `regression` is the loss of that task."""
    if training.task == "ranking":
        return {"objective": "lambdarank"} | _gains(training.y)
    return {"objective": "binary" if training.task == "classification" else regression}


def data_set(training: TrainingSet, params: Mapping[str, Any]) -> lightgbm.Dataset:
    """The rows of `training`, sorted by group in a ranking."""
    X, y, sizes = _without_negative_codes(training), training.y, None
    if training.task == "ranking":
        order = np.argsort(training.queries, kind="stable")
        X, y = X[order], _levels(y)[order]
        sizes = np.unique(training.queries, return_counts=True)[1]
    return lightgbm.Dataset(
        X,
        y,
        group=sizes,
        feature_name=list(training.names),
        categorical_feature=[training.names[i] for i in training.category_columns],
        params=dict(params),
    )


def train(
    params: Mapping[str, Any],
    data: lightgbm.Dataset,
    rounds: int,
    before: lightgbm.Booster | None = None,
    callbacks: Sequence[Callable[..., None]] = (),
) -> lightgbm.Booster:
    """The booster; ModelError for what only LightGBM knows to refuse, such as a group of over 10,000 rows.

    `before` is one whose trees it goes on from; `callbacks` are LightGBM's own, called around each round.
    """
    try:
        return lightgbm.train(
            dict(params), data, num_boost_round=rounds, init_model=before, callbacks=list(callbacks)
        )
    except lightgbm.basic.LightGBMError as error:
        raise ModelError(
            f"LightGBM cannot learn from these rows: {error}.",
            hint="A ranking takes at most 10,000 rows of a group.",
        ) from error


def _has_own_gains(y: Floats) -> bool:
    return bool((y == np.floor(y)).all() and y.max() < _LEVELS)


def _levels(y: Floats) -> Floats:
    """Relevances as whole numbers: themselves, or their rank among the different ones."""
    return y if _has_own_gains(y) else np.unique(y, return_inverse=True)[1].reshape(-1).astype(np.float64)


def _gains(y: Floats) -> dict[str, object]:
    """Relevances that are no small whole numbers gain what they are: nothing is lost by their rank."""
    return {} if _has_own_gains(y) else {"label_gain": np.unique(y).tolist()}


def _without_negative_codes(training: TrainingSet) -> Floats:
    """X with NaN for unknown and missing categories, as LightGBM reads them, but without its warnings."""
    X = training.X.copy()
    for column in training.category_columns:
        codes = X[:, column]
        codes[codes < 0] = np.nan
    return X
