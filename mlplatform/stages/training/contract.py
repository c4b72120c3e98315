"""The contract between training data and models: what a model file is given and what it must give back.

It must not know a model. A model file in `models/` has `build(**params) -> Estimator`,
`load(files) -> Model` and `TASKS`, the tasks it serves; the conformance suite holds every one of them to what
is written here.
"""

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Protocol

import numpy as np

from mlplatform.errors import ConfigurationError, FeatureSetMismatch
from mlplatform.stages.preparation.fitted import MISSING as MISSING
from mlplatform.stages.preparation.fitted import UNKNOWN as UNKNOWN
from mlplatform.stages.training.learnable import check_learnable as check_learnable
from mlplatform.stages.training.learnable import check_served as check_served
from mlplatform.stages.training.training_set import TASKS as TASKS
from mlplatform.stages.training.training_set import Floats as Floats
from mlplatform.stages.training.training_set import Groups as Groups
from mlplatform.stages.training.training_set import Task as Task
from mlplatform.stages.training.training_set import Times as Times
from mlplatform.stages.training.training_set import TrainingSet as TrainingSet


class Model(Protocol):
    """A fitted model. Two calls with the same row give the same bits, in batch and alone."""

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names in the order of the columns."""

    def predict(self, X: Floats) -> Floats:
        """Scores (rows,) of float64 X (rows, features); FeatureSetMismatch on another width.

        The probability of label 1 in classification, a number in regression and forecasting, the number
        0 .. k-1 of the cluster in clustering, a relevance of which the higher comes first in ranking.
        """

    def row_scorer(self) -> Callable[[Sequence[float]], float]:
        """A function equal to `predict` to the bit for one row; for one thread at a time."""

    def files(self) -> dict[str, bytes]:
        """What `load` needs, with the same bytes at each call."""


class Estimator(Protocol):
    """Parameters of a model that is to be fitted."""

    def fit(self, training: TrainingSet) -> Model:
        """Learn; the same rows give the same `Model.files()`.

        ModelError when nothing can be learned, ConfigurationError for a task the model does not serve.
        """


def tasks_of(kind: ModuleType) -> tuple[Task, ...]:
    """The tasks that a model file serves; one of your own that names none is a classifier."""
    served: tuple[Task, ...] = getattr(kind, "TASKS", ("classification",))
    return served


def as_batch(X: Floats, names: Sequence[str]) -> Floats:
    """X as C-contiguous float64 (rows, len(names)); FeatureSetMismatch on another width."""
    if X.ndim != 2 or X.shape[1] != len(names):
        raise FeatureSetMismatch(
            f"got rows of shape {X.shape}; the model takes {len(names)} features.",
            hint="Compute the features with the feature set the model was trained with.",
        )
    return np.ascontiguousarray(X, dtype=np.float64)


def wrong_width(got: int, names: Sequence[str]) -> FeatureSetMismatch:
    """The error for one row of `got` values."""
    return FeatureSetMismatch(
        f"got a row of {got} values; the model takes {len(names)} features.",
        hint="Compute the features with the feature set the model was trained with.",
    )


def position(names: Sequence[str], name: str, parameter: str) -> int:
    """Column of the feature a parameter names; ConfigurationError when there is no such feature."""
    if name not in names:
        raise ConfigurationError(
            f"{parameter}: got feature {name!r}; the feature set has: {', '.join(names)}.",
            hint=f"Set {parameter} to features of this use case.",
        )
    return list(names).index(name)
