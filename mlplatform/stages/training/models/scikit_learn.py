"""Any estimator with the scikit-learn interface, named by its dotted path and saved by skops without pickle.

    params: {estimator: sklearn.neighbors.KNeighborsClassifier, params: {n_neighbors: 50}}

Libraries round a row alone and a row among many differently, so rows are given to the estimator one by one,
in batch too: 0.2 to 1 ms a row where one call for all takes microseconds. Only trees and their ensembles,
whose arithmetic is per row, get whole batches, and only if rows of chance get the same bits both ways.
Where this is too slow, a model file of its own (`random_forest`, `logistic_regression`, …) is the remedy.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from mlplatform.errors import ConfigurationError, ModelError
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
from mlplatform.stages.training.models import _design, _estimators, _one_by_one, _skops
from mlplatform.stages.training.models._numbers import spaced

TASKS: tuple[Task, ...] = ("classification", "regression", "clustering", "forecasting")


class Parameters(msgspec.Struct, frozen=True):
    """What defs.yaml may say."""

    estimator: str
    """Dotted path of the class; a package of your own must be installed wherever the model is opened."""
    params: dict[str, Any] = {}
    """Of the estimator; one may itself be `{estimator: …, params: …}`."""
    columns: Literal["standardised", "as_is"] = "standardised"
    """`standardised`: median impute, missing indicators, standardise, one-hot. `as_is`: features and codes as
    they are, for an estimator that takes NaN."""
    max_rows: Annotated[int, msgspec.Meta(ge=100)] = 150_000
    """With more rows, this many evenly spaced ones are fitted."""
    max_levels: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 120
    """Most frequent codes of a category with a column of their own; the rest share one."""
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 0
    """For every `random_state` that `params` leaves out."""


class Saved(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="scikit_learn", tag_field="kind"):
    """The content of model.json; `columns` is empty for features as they are."""

    names: tuple[str, ...]
    task: Task
    estimator: str
    types: tuple[str, ...]
    """Found at training beyond those skops trusts; nothing else is built at load."""
    columns: list[_design.Column]


def build(**params: object) -> "ScikitLearnEstimator":
    """An estimator with these `Parameters`; ConfigurationError for any other."""
    read = parameters.read("scikit_learn", params, Parameters)
    _estimators.make(read.estimator, read.params, read.seed)
    return ScikitLearnEstimator(read)


def load(files: Mapping[str, bytes]) -> Model:
    """The model saved in `files`."""
    saved = parameters.decode("scikit_learn", files, Saved)
    if "estimator.skops" not in files:
        raise ModelError(f"cannot read a scikit_learn model from the files {sorted(files)}.")
    try:
        return ScikitLearn(saved, files["estimator.skops"])
    except ConfigurationError as error:
        raise ModelError(f"cannot read a scikit_learn model: {error}", hint=error.hint) from error


def fitted(estimator: Any, names: tuple[str, ...], task: Task) -> "ScikitLearn":
    """The model of an estimator that was fitted elsewhere, on features as they are.

    Raises
    ------
    ConfigurationError
        when the estimator does not answer the task's question.
    ModelError
        when it cannot be saved without code.
    """
    _estimators.check_task(estimator, task)
    _one_thread(estimator)
    path = f"{type(estimator).__module__}.{type(estimator).__qualname__}"
    data = _skops.dump(estimator)
    types = _skops.types_of(data, _estimators.package(path))
    return ScikitLearn(Saved(names, task, path, types, []), data)


@dataclass(frozen=True)
class ScikitLearnEstimator:
    """Fits with one BLAS and OpenMP thread, because the number of threads decides the last bits of a sum."""

    params: Parameters

    def fit(self, training: TrainingSet) -> Model:
        """The estimator fitted on `training`; ModelError when scikit-learn refuses the rows."""
        check_served("scikit_learn", TASKS, training)
        estimator = _estimators.make(self.params.estimator, self.params.params, self.params.seed)
        _estimators.check_task(estimator, training.task)
        rows = spaced(len(training.X), self.params.max_rows)
        columns: list[_design.Column] = []
        if self.params.columns == "standardised":
            columns = _design.columns(training, rows, self.params.max_levels)
        design = _one_by_one.matrix(training.X[rows], columns)
        self._fit(estimator, design, training.y[rows], training.task)
        data = _skops.dump(estimator)
        types = _skops.types_of(data, _estimators.package(self.params.estimator))
        return ScikitLearn(Saved(training.names, training.task, self.params.estimator, types, columns), data)

    def _fit(self, estimator: Any, design: Floats, y: Floats, task: Task) -> None:
        try:
            with threadpool_limits(1):
                estimator.fit(design) if task == "clustering" else estimator.fit(design, y)
        except (ValueError, TypeError) as error:
            raise ModelError(
                f"scikit_learn: {type(estimator).__name__} cannot be fitted: {error}.",
                hint="Check its params; `columns: standardised` leaves no missing value.",
            ) from error
        _one_thread(estimator)


class ScikitLearn:
    """A fitted estimator, read back from its own bytes: a fresh model and a loaded one are the same."""

    def __init__(self, saved: Saved, data: bytes) -> None:
        self._saved, self._data = saved, data
        estimator = _skops.load(data, saved.types, _estimators.package(saved.estimator))
        if not isinstance(estimator, _estimators.find(saved.estimator)):
            raise ModelError(f"got a {type(estimator).__name__}; the model says {saved.estimator}.")
        self._scores = _one_by_one.scores_of(estimator, saved.task)
        self.in_batches = _one_by_one.may_batch(estimator, self._scores)
        """Whether many rows go through the estimator in one call."""

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names in the order of the columns."""
        return self._saved.names

    def predict(self, X: Floats) -> Floats:
        """Scores (rows,) of X (rows, features); see the file's docstring for what a row costs."""
        design = _one_by_one.matrix(as_batch(X, self.names), self._saved.columns)
        if not len(design):
            return np.empty(0)
        if self.in_batches:
            return self._scores(design)
        return np.concatenate([self._scores(np.array([line])) for line in design.tolist()])

    def row_scorer(self) -> Callable[[Sequence[float]], float]:
        """`predict` for one row."""
        scores, columns, names = self._scores, self._saved.columns, self.names

        def score(row: Sequence[float]) -> float:
            if len(row) != len(names):
                raise wrong_width(len(row), names)
            return float(scores(np.array([_one_by_one.line(row, columns)]))[0])

        return score

    def files(self) -> dict[str, bytes]:
        """model.json and estimator.skops."""
        return {"model.json": msgspec.json.encode(self._saved), "estimator.skops": self._data}


def _one_thread(estimator: Any) -> None:
    """Threads that predict together add up in any order."""
    if "n_jobs" in estimator.get_params(deep=False):
        estimator.set_params(n_jobs=1)
