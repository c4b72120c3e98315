"""Rate table, the baseline every model has to beat: the smoothed mean label per combination of features.

In classification the mean is the rate of label 1. It must not extrapolate: a combination that was not seen
gets the global mean.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np

from mlplatform.errors import ConfigurationError, ModelError
from mlplatform.stages.training import parameters
from mlplatform.stages.training.contract import (
    MISSING,
    Floats,
    Model,
    Task,
    TrainingSet,
    as_batch,
    check_served,
    position,
    wrong_width,
)

TASKS: tuple[Task, ...] = ("classification", "regression", "forecasting")

_Key = tuple[float, ...]
_MOST = 100_000


class Parameters(msgspec.Struct, frozen=True):
    """What defs.yaml may say."""

    by: tuple[str, ...] = ("carrier", "origin", "hour")
    """Features whose combinations are counted: categories or whole numbers."""
    smoothing: Annotated[float, msgspec.Meta(ge=0)] = 20.0
    """Rows of the global mean added to each combination."""


class Saved(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="rate_table", tag_field="kind"):
    """The content of model.json: the mean label `rates[i]` belongs to `keys[i]`, `rate` to all rows."""

    names: tuple[str, ...]
    columns: tuple[int, ...]
    rate: float
    keys: list[_Key]
    rates: list[float]


def build(**params: object) -> "RateTableEstimator":
    """An estimator with these `Parameters`; ConfigurationError for any other."""
    return RateTableEstimator(parameters.read("rate_table", params, Parameters))


def load(files: Mapping[str, bytes]) -> Model:
    """The model saved in `files`."""
    return RateTable(parameters.decode("rate_table", files, Saved))


@dataclass(frozen=True)
class RateTableEstimator:
    """Counts rows and adds up labels per combination."""

    params: Parameters

    def fit(self, training: TrainingSet) -> Model:
        """The table of the combinations in `training`."""
        check_served("rate_table", TASKS, training)
        columns = tuple(position(training.names, name, "by") for name in self.params.by)
        if not columns:
            raise ConfigurationError("rate_table: got by: []; allowed: at least one feature.")
        chosen = _keys(training.X, columns)
        keys, place = np.unique(chosen, axis=0, return_inverse=True)
        if len(keys) > _MOST or (chosen != np.floor(chosen)).any():
            raise ModelError(
                f"rate_table: got {len(keys)} combinations of {list(self.params.by)}; "
                f"allowed: at most {_MOST} combinations of whole numbers.",
                hint="Count by categories or whole numbers with few values.",
            )
        place = place.reshape(-1)
        rate = float(training.y.mean())
        rows = np.bincount(place, minlength=len(keys))
        total = np.bincount(place, weights=training.y, minlength=len(keys))
        rates = (total + self.params.smoothing * rate) / (rows + self.params.smoothing)
        rows_of_keys = [tuple(key) for key in keys.tolist()]
        return RateTable(Saved(training.names, columns, rate, rows_of_keys, rates.tolist()))


class RateTable:
    """A fitted table."""

    def __init__(self, saved: Saved) -> None:
        self._saved = saved
        self._table = dict(zip(saved.keys, saved.rates, strict=True))

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names in the order of the columns."""
        return self._saved.names

    def predict(self, X: Floats) -> Floats:
        """Mean labels (rows,) of the combinations of X (rows, features)."""
        X = as_batch(X, self.names)
        columns = _keys(X, self._saved.columns).T.tolist()
        rates = (self._table.get(key, self._saved.rate) for key in zip(*columns, strict=True))
        return np.fromiter(rates, dtype=np.float64, count=len(X))

    def row_scorer(self) -> Callable[[Sequence[float]], float]:
        """`predict` for one row."""
        table, rate, columns, names = self._table, self._saved.rate, self._saved.columns, self.names

        def score(row: Sequence[float]) -> float:
            if len(row) != len(names):
                raise wrong_width(len(row), names)
            return table.get(tuple(MISSING if row[c] != row[c] else row[c] for c in columns), rate)

        return score

    def files(self) -> dict[str, bytes]:
        """model.json."""
        return {"model.json": msgspec.json.encode(self._saved)}


def _keys(X: Floats, columns: Sequence[int]) -> Floats:
    """NaN is no key (it does not equal itself): a missing value is counted as MISSING."""
    chosen = X[:, list(columns)]
    return np.where(np.isnan(chosen), float(MISSING), chosen)
