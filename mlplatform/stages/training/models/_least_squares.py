"""A fitted linear regression, shared by files that differ in how they fit; it must not read parameters.

The design matrix and the way back to one term per feature are those of logistic regression.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from mlplatform.stages.training.contract import Floats, TrainingSet
from mlplatform.stages.training.models import _design, _linear
from mlplatform.stages.training.models._numbers import spaced


class Saved(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of model.json, tagged by the model's file; `terms[i]` belongs to `names[i]`."""

    names: tuple[str, ...]
    intercept: float
    terms: tuple[_design.Number | _design.Category, ...]


def weights(
    solver: Any, training: TrainingSet, max_rows: int, max_levels: int
) -> tuple[float, tuple[_design.Number | _design.Category, ...]]:
    """Intercept and terms that the scikit-learn regressor `solver` finds for `training`.

    One BLAS thread, because the number of threads decides the last bits of a product.
    """
    rows = spaced(len(training.y), max_rows)
    columns = _design.columns(training, rows, max_levels)
    with threadpool_limits(1, user_api="blas"):
        solver.fit(_design.matrix(training.X[rows], columns), training.y[rows])
    return float(solver.intercept_), _design.terms(columns, solver.coef_)


class LinearModel:
    """Fitted weights."""

    def __init__(self, saved: Saved) -> None:
        self._saved = saved

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names in the order of the columns."""
        return self._saved.names

    def predict(self, X: Floats) -> Floats:
        """Numbers (rows,) for X (rows, features)."""
        return _linear.sums(self._saved, X)

    def row_scorer(self) -> Callable[[Sequence[float]], float]:
        """`predict` for one row."""
        return _linear.summer(self._saved)

    def files(self) -> dict[str, bytes]:
        """model.json."""
        return {"model.json": msgspec.json.encode(self._saved)}
