"""The contract between training data and models: what a model file is given and what it must give back.

It must not know a model. A model file in `models/` has `build(**params) -> Estimator` and
`load(files) -> Model`; the conformance suite holds every one of them to what is written here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mlplatform.errors import ConfigurationError, FeatureSetMismatch, ModelError
from mlplatform.stages.preparation.fitted import MISSING as MISSING
from mlplatform.stages.preparation.fitted import UNKNOWN as UNKNOWN

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Rows to learn from.

    X: float64 (rows, features), C-contiguous, NaN = missing, never infinite. A category feature holds
    codes 0 .. k-1, UNKNOWN (-1) or MISSING (-2), where k is its entry in `categories`.
    y: float64 (rows,). names: of X's columns, in order.
    """

    X: Floats
    y: Floats
    names: tuple[str, ...]
    categories: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.X.ndim != 2 or self.X.dtype != np.float64 or not self.X.flags.c_contiguous:
            raise ModelError(
                f"got X of {self.X.dtype} {self.X.shape}; allowed: float64 (rows, features), C-contiguous.",
                hint="Use np.ascontiguousarray(X, dtype=np.float64).",
            )
        if self.y.shape != (len(self.X),) or self.y.dtype != np.float64:
            raise ModelError(f"got y of {self.y.dtype} {self.y.shape}; allowed: float64 ({len(self.X)},).")
        if len(self.names) != self.X.shape[1] or len(set(self.names)) != len(self.names):
            raise ModelError(f"got {len(set(self.names))} different names for {self.X.shape[1]} columns.")
        strangers = sorted(set(self.categories) - set(self.names))
        if strangers:
            raise ModelError(f"got categories {strangers} that are not features.")

    @property
    def category_columns(self) -> tuple[int, ...]:
        """Positions in X of the category features."""
        return tuple(i for i, name in enumerate(self.names) if name in self.categories)


class Model(Protocol):
    """A fitted classifier. Two calls with the same row give the same bits, in batch and alone."""

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names in the order of the columns."""

    def predict(self, X: Floats) -> Floats:
        """Probability (rows,) of label 1, float64 X (rows, features); FeatureSetMismatch on another width."""

    def row_scorer(self) -> Callable[[Sequence[float]], float]:
        """A function equal to `predict` to the bit for one row; for one thread at a time."""

    def files(self) -> dict[str, bytes]:
        """What `load` needs, with the same bytes at each call."""


class Estimator(Protocol):
    """Parameters of a model that is to be fitted."""

    def fit(self, training: TrainingSet) -> Model:
        """Learn; the same rows give the same `Model.files()`. ModelError when nothing can be learned."""


def check_learnable(training: TrainingSet) -> None:
    """Refuse rows a binary classifier cannot learn from.

    Raises
    ------
    ModelError
        for no rows, labels other than 0 and 1, one class only, infinite values or codes out of range.
    """
    if not np.isin(training.y, (0.0, 1.0)).all():
        raise ModelError("got labels other than 0 and 1.", hint="Leave rows without a label out of training.")
    classes = np.unique(training.y)
    if len(classes) < 2:
        raise ModelError(
            f"got {len(training.y)} training rows with labels {classes.tolist()}; both 0 and 1 are needed.",
            hint="Train on a longer window, or check the label's definition.",
        )
    if np.isinf(training.X).any():
        column = int(np.flatnonzero(np.isinf(training.X).any(axis=0))[0])
        raise ModelError(
            f"feature {training.names[column]!r} holds infinite values.", hint="Spell a missing value NaN."
        )
    for column in training.category_columns:
        _check_codes(training, column)


def _check_codes(training: TrainingSet, column: int) -> None:
    name, values = training.names[column], training.X[:, column]
    known = training.categories[name]
    ok = np.isnan(values) | ((values >= MISSING) & (values < known) & (values == np.floor(values)))
    if not ok.all():
        raise ModelError(
            f"category {name!r} holds {values[~ok][0]}; allowed: {MISSING} .. {known - 1}.",
            hint="Encode it with the dictionaries of the fitted feature set.",
        )


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
