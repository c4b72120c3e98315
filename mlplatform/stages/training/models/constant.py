"""Constant: the same score for every row, the figure below which no model is worth its cost.

It must not look at a feature.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np

from mlplatform.errors import ConfigurationError
from mlplatform.stages.training import parameters
from mlplatform.stages.training.contract import (
    Floats,
    Model,
    Task,
    TrainingSet,
    as_batch,
    check_served,
    wrong_width,
)

TASKS: tuple[Task, ...] = ("classification", "regression", "ranking", "forecasting")


class Parameters(msgspec.Struct, frozen=True):
    """What defs.yaml may say."""

    statistic: Literal["mean", "median"] = "mean"
    """Of the training labels. The mean of a class label is the rate of label 1; of the constants, the mean
    has the least squared error and the median the least absolute one."""


class Saved(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="constant", tag_field="kind"):
    """The content of model.json."""

    names: tuple[str, ...]
    value: float


def build(**params: object) -> "ConstantEstimator":
    """An estimator with these `Parameters`; ConfigurationError for any other."""
    return ConstantEstimator(parameters.read("constant", params, Parameters))


def load(files: Mapping[str, bytes]) -> Model:
    """The model saved in `files`."""
    return Constant(parameters.decode("constant", files, Saved))


@dataclass(frozen=True)
class ConstantEstimator:
    """Takes one figure of the labels."""

    params: Parameters

    def fit(self, training: TrainingSet) -> Model:
        """The mean or median label of `training`; ConfigurationError for the median of a class."""
        check_served("constant", TASKS, training)
        if self.params.statistic == "median":
            if training.task == "classification":
                raise ConfigurationError(
                    "constant: got statistic: 'median' in classification; allowed: mean.",
                    hint="The median of a label of 0 and 1 is no probability.",
                )
            return Constant(Saved(training.names, float(np.median(training.y))))
        return Constant(Saved(training.names, float(training.y.mean())))


class Constant:
    """One figure."""

    def __init__(self, saved: Saved) -> None:
        self._saved = saved

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names in the order of the columns."""
        return self._saved.names

    def predict(self, X: Floats) -> Floats:
        """The constant (rows,) for X (rows, features)."""
        return np.full(len(as_batch(X, self.names)), self._saved.value)

    def row_scorer(self) -> Callable[[Sequence[float]], float]:
        """`predict` for one row."""
        value, names = self._saved.value, self.names

        def score(row: Sequence[float]) -> float:
            if len(row) != len(names):
                raise wrong_width(len(row), names)
            return value

        return score

    def files(self) -> dict[str, bytes]:
        """model.json."""
        return {"model.json": msgspec.json.encode(self._saved)}
