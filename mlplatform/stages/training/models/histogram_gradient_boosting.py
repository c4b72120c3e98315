"""Histogram gradient boosting: fitted by scikit-learn, kept as arrays, walked by our own code.

It must not call scikit-learn to predict. What is read of the fitted estimator is not public in scikit-learn,
so after each fit the training rows are scored both ways and must agree.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from mlplatform.errors import ConfigurationError
from mlplatform.stages.training import parameters
from mlplatform.stages.training.contract import Floats, Model, Task, TrainingSet, check_served
from mlplatform.stages.training.models import _histogram, _trees

TASKS: tuple[Task, ...] = ("classification", "regression", "forecasting")

_Loss = Literal["squared_error", "absolute_error", "poisson"]


class Parameters(msgspec.Struct, frozen=True):
    """What defs.yaml may say; the meaning is scikit-learn's."""

    loss: _Loss = "squared_error"
    """In regression and forecasting; classes take the log loss."""
    learning_rate: Annotated[float, msgspec.Meta(gt=0)] = 0.1
    max_iter: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 100
    max_leaf_nodes: Annotated[int, msgspec.Meta(ge=2, le=4096)] = 31
    max_depth: Annotated[int, msgspec.Meta(ge=1, le=64)] | None = None
    min_samples_leaf: Annotated[int, msgspec.Meta(ge=1)] = 20
    l2_regularization: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    max_features: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    """Share of the features that a split may choose from."""
    max_bins: Annotated[int, msgspec.Meta(ge=2, le=255)] = 255
    """Also the most codes of a category that are told apart; rarer ones count as missing."""
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 0


class Saved(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    tag="histogram_gradient_boosting",
    tag_field="kind",
):
    """The content of model.json: a score is `link(baseline + sum of the trees)`."""

    names: tuple[str, ...]
    link: Literal["identity", "sigmoid", "exp"]
    baseline: float
    trees: list[_trees.Tree]

    def __post_init__(self) -> None:
        for tree in self.trees:
            _trees.check(tree, len(self.names))


def build(**params: object) -> "HistogramGradientBoostingEstimator":
    """An estimator with these `Parameters`; ConfigurationError for any other."""
    return HistogramGradientBoostingEstimator(
        parameters.read("histogram_gradient_boosting", params, Parameters)
    )


def load(files: Mapping[str, bytes]) -> Model:
    """The model saved in `files`."""
    return HistogramGradientBoosting(parameters.decode("histogram_gradient_boosting", files, Saved))


@dataclass(frozen=True)
class HistogramGradientBoostingEstimator:
    """scikit-learn's boosting without early stopping, so that no row is held back.

    With one thread, because the number of threads decides the last bits of its sums.
    """

    params: Parameters

    def fit(self, training: TrainingSet) -> Model:
        """The trees of `training`; ConfigurationError for a Poisson loss of negative labels."""
        check_served("histogram_gradient_boosting", TASKS, training)
        self._check_loss(training)
        encoded = _histogram.encode(training, self.params.max_bins)
        given = msgspec.structs.asdict(self.params) | {"random_state": self.params.seed}
        del given["seed"]
        with threadpool_limits(1):
            fitted = _histogram.fit(training, encoded, given)
            baseline, trees = _histogram.export(fitted, encoded)
            model = HistogramGradientBoosting(
                Saved(training.names, self._link(training.task), baseline, trees)
            )
            _histogram.check_agrees(fitted, encoded, training, model.predict)
        return model

    def _link(self, task: Task) -> Literal["identity", "sigmoid", "exp"]:
        if task == "classification":
            return "sigmoid"
        return "exp" if self.params.loss == "poisson" else "identity"

    def _check_loss(self, training: TrainingSet) -> None:
        numbers = training.task != "classification"
        if numbers and self.params.loss == "poisson" and (training.y < 0).any():
            raise ConfigurationError(
                f"histogram_gradient_boosting: got loss: 'poisson' and labels down to {training.y.min()}; "
                "allowed: labels of 0 and above.",
                hint="Take squared_error or absolute_error.",
            )


class HistogramGradientBoosting:
    """Fitted trees."""

    def __init__(self, saved: Saved) -> None:
        self._saved = saved
        self._walkers = [_trees.Walker(tree) for tree in saved.trees]

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names in the order of the columns."""
        return self._saved.names

    def predict(self, X: Floats) -> Floats:
        """Probabilities or numbers (rows,) for X (rows, features)."""
        totals = _trees.sums(self._walkers, self._saved.baseline, X, self.names)
        return _histogram.LINKS_OF_MANY[self._saved.link](totals)

    def row_scorer(self) -> Callable[[Sequence[float]], float]:
        """`predict` for one row."""
        total_of = _trees.summer(self._saved.trees, self._saved.baseline, self.names)
        link = _histogram.LINKS[self._saved.link]
        return lambda row: link(total_of(row))

    def files(self) -> dict[str, bytes]:
        """model.json."""
        return {"model.json": msgspec.json.encode(self._saved)}
