"""Linear regression by ordinary least squares, kept and applied as a sum of one term per feature.

It must not punish weights: `ridge_regression` does.
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

    max_rows: Annotated[int, msgspec.Meta(ge=100)] = 150_000
    """With more rows, this many evenly spaced ones are fitted."""
    max_levels: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 120
    """Most frequent codes of a category with a weight of their own; the rest share one."""


class Saved(_least_squares.Saved, frozen=True, tag="linear_regression", tag_field="kind"):
    """The content of model.json."""


def build(**params: object) -> "LinearRegressionEstimator":
    """An estimator with these `Parameters`; ConfigurationError for any other."""
    return LinearRegressionEstimator(parameters.read("linear_regression", params, Parameters))


def load(files: Mapping[str, bytes]) -> Model:
    """The model saved in `files`."""
    return _least_squares.LinearModel(parameters.decode("linear_regression", files, Saved))


@dataclass(frozen=True)
class LinearRegressionEstimator:
    """Median impute, missing indicators, standardise, one-hot; then least squares by singular values.

    The columns of a category add up to the intercept, so many weights fit equally well: the shortest are
    taken (`sklearn.linear_model.LinearRegression`), which leaves a code never seen at the mean.
    """

    params: Parameters

    def fit(self, training: TrainingSet) -> Model:
        """The weights of least squared error on `training`."""
        from sklearn.linear_model import LinearRegression as Solver

        check_served("linear_regression", TASKS, training)
        found = _least_squares.weights(Solver(), training, self.params.max_rows, self.params.max_levels)
        return _least_squares.LinearModel(Saved(training.names, *found))
