"""Logistic regression: fitted by scikit-learn, kept and applied as a sum of one term per feature.

It must not know how the sum is made: `_linear.py` does, for one row and for many alike.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from mlplatform.stages.training import parameters
from mlplatform.stages.training.contract import Floats, Model, Task, TrainingSet, check_served
from mlplatform.stages.training.models import _design, _linear
from mlplatform.stages.training.models._numbers import sigmoid, sigmoids, spaced

TASKS: tuple[Task, ...] = ("classification",)


class Parameters(msgspec.Struct, frozen=True):
    """What defs.yaml may say."""

    C: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    """Inverse strength of the L2 penalty, as in scikit-learn."""
    max_iter: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 50
    max_rows: Annotated[int, msgspec.Meta(ge=100)] = 150_000
    """With more rows, this many evenly spaced ones are fitted: the cost grows, the accuracy hardly."""
    max_levels: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 120
    """Most frequent codes of a category with a weight of their own; the rest share one."""


class Saved(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="logistic_regression", tag_field="kind"
):
    """The content of model.json; `terms[i]` belongs to `names[i]`."""

    names: tuple[str, ...]
    intercept: float
    terms: tuple[_design.Number | _design.Category, ...]


def build(**params: object) -> "LogisticRegressionEstimator":
    """An estimator with these `Parameters`; ConfigurationError for any other."""
    return LogisticRegressionEstimator(parameters.read("logistic_regression", params, Parameters))


def load(files: Mapping[str, bytes]) -> Model:
    """The model saved in `files`."""
    return LogisticRegression(parameters.decode("logistic_regression", files, Saved))


@dataclass(frozen=True)
class LogisticRegressionEstimator:
    """Median impute, missing indicators, standardise, one-hot; then scikit-learn's Newton solver.

    Newton's method, because correlated features (the same delay over many windows) make lbfgs need
    hundreds of passes; it costs rows * columns² a step and takes about five steps. One BLAS thread, because
    the number of threads decides the last bits of a product.
    """

    params: Parameters

    def fit(self, training: TrainingSet) -> Model:
        """The weights that minimise the penalised log loss of `training`."""
        from sklearn.linear_model import LogisticRegression as Solver

        check_served("logistic_regression", TASKS, training)
        rows = spaced(len(training.y), self.params.max_rows)
        columns = _design.columns(training, rows, self.params.max_levels)
        solver = Solver(C=self.params.C, solver="newton-cholesky", max_iter=self.params.max_iter, tol=1e-6)
        with threadpool_limits(1, user_api="blas"):
            solver.fit(_design.matrix(training.X[rows], columns), training.y[rows])
        terms = _design.terms(columns, solver.coef_[0])
        return LogisticRegression(Saved(training.names, float(solver.intercept_[0]), terms))


class LogisticRegression:
    """Fitted weights."""

    def __init__(self, saved: Saved) -> None:
        self._saved = saved

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names in the order of the columns."""
        return self._saved.names

    def predict(self, X: Floats) -> Floats:
        """Probabilities (rows,) for X (rows, features)."""
        return sigmoids(_linear.sums(self._saved, X))

    def row_scorer(self) -> Callable[[Sequence[float]], float]:
        """`predict` for one row."""
        total_of = _linear.summer(self._saved)
        return lambda row: sigmoid(total_of(row))

    def files(self) -> dict[str, bytes]:
        """model.json."""
        return {"model.json": msgspec.json.encode(self._saved)}
