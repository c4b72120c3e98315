"""Ridge regression: least squares with an L2 penalty, kept and applied as a sum of one term per feature.

It must not search for the penalty: a use case declares one candidate per value it wants to compare.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import msgspec

from mlplatform.stages.training import parameters
from mlplatform.stages.training.contract import Model, Task, TrainingSet, check_served
from mlplatform.stages.training.models import _least_squares

TASKS: tuple[Task, ...] = ("regression", "forecasting")


class Parameters(msgspec.Struct, frozen=True):
    """What defs.yaml may say."""

    alpha: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    """Strength of the penalty on standardised columns, as in scikit-learn."""
    max_rows: Annotated[int, msgspec.Meta(ge=100)] = 150_000
    """With more rows, this many evenly spaced ones are fitted."""
    max_levels: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 120
    """Most frequent codes of a category with a weight of their own; the rest share one."""


class Saved(_least_squares.Saved, frozen=True, tag="ridge_regression", tag_field="kind"):
    """The content of model.json."""


def build(**params: object) -> "RidgeRegressionEstimator":
    """An estimator with these `Parameters`; ConfigurationError for any other."""
    return RidgeRegressionEstimator(parameters.read("ridge_regression", params, Parameters))


def load(files: Mapping[str, bytes]) -> Model:
    """The model saved in `files`."""
    return _least_squares.LinearModel(parameters.decode("ridge_regression", files, Saved))


@dataclass(frozen=True)
class RidgeRegressionEstimator:
    """Median impute, missing indicators, standardise, one-hot; then scikit-learn's Cholesky solver.

    The penalty makes the system regular, so one factorisation of columns × columns is enough.
    """

    params: Parameters

    def fit(self, training: TrainingSet) -> Model:
        """The weights of least squared error plus alpha times their squares."""
        from sklearn.linear_model import Ridge

        check_served("ridge_regression", TASKS, training)
        solver = Ridge(alpha=self.params.alpha, solver="cholesky")
        found = _least_squares.weights(solver, training, self.params.max_rows, self.params.max_levels)
        return _least_squares.LinearModel(Saved(training.names, *found))
