"""Decision tree: fitted by scikit-learn on binned features, kept as arrays, walked by our own code.

It must not call scikit-learn to predict: `_trees.py` walks, for one row and for many alike.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from mlplatform.stages.training import parameters
from mlplatform.stages.training.contract import Floats, Model, Task, TrainingSet, check_served
from mlplatform.stages.training.models import _trees
from mlplatform.stages.training.models._binning import binned, tree_of
from mlplatform.stages.training.models._numbers import spaced

TASKS: tuple[Task, ...] = ("classification", "regression", "forecasting")


class Parameters(msgspec.Struct, frozen=True):
    """What defs.yaml may say; the meaning is scikit-learn's."""

    max_depth: Annotated[int, msgspec.Meta(ge=1, le=30)] = 8
    min_samples_leaf: Annotated[int, msgspec.Meta(ge=1)] = 200
    ccp_alpha: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    max_rows: Annotated[int, msgspec.Meta(ge=100)] = 150_000
    """With more rows, this many evenly spaced ones are fitted."""


class Saved(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="decision_tree", tag_field="kind"):
    """The content of model.json: arrays over nodes, as `_trees.Tree` has them."""

    names: tuple[str, ...]
    feature: list[int]
    threshold: list[float]
    missing_left: list[bool]
    left: list[int]
    right: list[int]
    rate: list[float]
    """Of label 1 among the training rows of a node; their mean label in regression."""

    def __post_init__(self) -> None:
        _trees.check(self.tree(), len(self.names))

    def tree(self) -> _trees.Tree:
        """The arrays."""
        return _trees.Tree(
            self.feature, self.threshold, self.missing_left, self.left, self.right, value=self.rate
        )


def build(**params: object) -> "DecisionTreeEstimator":
    """An estimator with these `Parameters`; ConfigurationError for any other."""
    return DecisionTreeEstimator(parameters.read("decision_tree", params, Parameters))


def load(files: Mapping[str, bytes]) -> Model:
    """The model saved in `files`."""
    return DecisionTree(parameters.decode("decision_tree", files, Saved))


@dataclass(frozen=True)
class DecisionTreeEstimator:
    """scikit-learn's tree on bins."""

    params: Parameters

    def fit(self, training: TrainingSet) -> Model:
        """The tree of least Gini impurity of `training`, of least squared error in regression."""
        check_served("decision_tree", TASKS, training)
        rows = spaced(len(training.y), self.params.max_rows)
        numbers, edges = binned(training.X[rows])
        tree = tree_of(self._solver(training.task).fit(numbers, training.y[rows]).tree_, edges, training.task)
        arrays = (tree.feature, tree.threshold, tree.missing_left, tree.left, tree.right, tree.value)
        return DecisionTree(Saved(training.names, *arrays))

    def _solver(self, task: Task) -> Any:
        from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

        kind = DecisionTreeClassifier if task == "classification" else DecisionTreeRegressor
        return kind(
            max_depth=self.params.max_depth,
            min_samples_leaf=self.params.min_samples_leaf,
            ccp_alpha=self.params.ccp_alpha,
            random_state=0,
        )


class DecisionTree:
    """A fitted tree."""

    def __init__(self, saved: Saved) -> None:
        self._saved = saved
        self._walker = _trees.Walker(saved.tree())

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names in the order of the columns."""
        return self._saved.names

    def predict(self, X: Floats) -> Floats:
        """Rates or mean labels (rows,) of the leaves of X (rows, features)."""
        return _trees.sums([self._walker], 0.0, X, self.names)

    def row_scorer(self) -> Callable[[Sequence[float]], float]:
        """`predict` for one row: a walk in plain Python."""
        return _trees.summer([self._saved.tree()], 0.0, self.names)

    def files(self) -> dict[str, bytes]:
        """model.json."""
        return {"model.json": msgspec.json.encode(self._saved)}
