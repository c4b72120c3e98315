"""Random forest: trees fitted by scikit-learn on binned features, kept as arrays, walked by our own code.

It must not call scikit-learn to predict. One row costs about 0.7 µs a step down a tree in plain Python: take
fewer or flatter trees, or LightGBM, where a deadline is short.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from mlplatform.stages.training import parameters
from mlplatform.stages.training.contract import Floats, Model, Task, TrainingSet, check_served
from mlplatform.stages.training.models import _trees
from mlplatform.stages.training.models._binning import binned, tree_of
from mlplatform.stages.training.models._numbers import spaced

TASKS: tuple[Task, ...] = ("classification", "regression", "forecasting")


class Parameters(msgspec.Struct, frozen=True):
    """What defs.yaml may say; the meaning is scikit-learn's."""

    n_estimators: Annotated[int, msgspec.Meta(ge=1, le=2_000)] = 100
    max_depth: Annotated[int, msgspec.Meta(ge=1, le=30)] = 12
    min_samples_leaf: Annotated[int, msgspec.Meta(ge=1)] = 50
    max_features: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.33
    """Share of the features that a split may choose from."""
    max_samples: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5
    """Share of the rows that a tree draws, with replacement."""
    max_rows: Annotated[int, msgspec.Meta(ge=100)] = 150_000
    """With more rows, this many evenly spaced ones are fitted."""
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 0
    n_jobs: Annotated[int, msgspec.Meta(ge=1, le=256)] = 2
    """Threads to train with; they decide the time, not the model."""


class Saved(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="random_forest", tag_field="kind"):
    """The content of model.json."""

    names: tuple[str, ...]
    trees: list[_trees.Tree]

    def __post_init__(self) -> None:
        if not self.trees:
            raise ValueError("the forest has no tree")
        for tree in self.trees:
            _trees.check(tree, len(self.names))


def build(**params: object) -> "RandomForestEstimator":
    """An estimator with these `Parameters`; ConfigurationError for any other."""
    return RandomForestEstimator(parameters.read("random_forest", params, Parameters))


def load(files: Mapping[str, bytes]) -> Model:
    """The model saved in `files`."""
    return RandomForest(parameters.decode("random_forest", files, Saved))


@dataclass(frozen=True)
class RandomForestEstimator:
    """scikit-learn's forest on bins. Each tree has its own seed, drawn before any thread starts."""

    params: Parameters

    def fit(self, training: TrainingSet) -> Model:
        """The trees of bootstrap samples of `training`."""
        check_served("random_forest", TASKS, training)
        rows = spaced(len(training.y), self.params.max_rows)
        numbers, edges = binned(training.X[rows])
        with threadpool_limits(1):
            forest = self._solver(training.task).fit(numbers, training.y[rows])
        trees = [tree_of(each.tree_, edges, training.task) for each in forest.estimators_]
        return RandomForest(Saved(training.names, trees))

    def _solver(self, task: Task) -> Any:
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        kind = RandomForestClassifier if task == "classification" else RandomForestRegressor
        given = msgspec.structs.asdict(self.params)
        del given["max_rows"]
        return kind(random_state=given.pop("seed"), **given)


class RandomForest:
    """Fitted trees; a score is the mean of theirs."""

    def __init__(self, saved: Saved) -> None:
        self._saved = saved
        self._walkers = [_trees.Walker(tree) for tree in saved.trees]

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names in the order of the columns."""
        return self._saved.names

    def predict(self, X: Floats) -> Floats:
        """Mean rates or mean labels (rows,) of the leaves of X (rows, features)."""
        return _trees.sums(self._walkers, 0.0, X, self.names) / float(len(self._walkers))

    def row_scorer(self) -> Callable[[Sequence[float]], float]:
        """`predict` for one row."""
        total_of, count = _trees.summer(self._saved.trees, 0.0, self.names), float(len(self._saved.trees))
        return lambda row: total_of(row) / count

    def files(self) -> dict[str, bytes]:
        """model.json."""
        return {"model.json": msgspec.json.encode(self._saved)}
