"""Seasonal naive: tomorrow at nine is what today at nine was; the figure below which no forecast is worth it.

It must not learn but the mean that stands in where every value is missing. Method and name: Hyndman &
Athanasopoulos, Forecasting: Principles and Practice, 3rd edition, section 5.2.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np

from mlplatform.stages.training import parameters
from mlplatform.stages.training.contract import (
    Floats,
    Model,
    Task,
    TrainingSet,
    as_batch,
    check_served,
    position,
    wrong_width,
)
from mlplatform.stages.training.models import _lags

TASKS: tuple[Task, ...] = ("forecasting",)


class Parameters(msgspec.Struct, frozen=True):
    """What defs.yaml may say."""

    step: str = "step"
    """Feature that says how many steps ahead a row is: 1, 2, …"""
    lags: str = "lag_"
    """Beginning of the names of the newest values: lag_1 (the newest), lag_2, …"""
    season: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 24
    """In steps: 24 for hours of a day, 168 for hours of a week; 1 repeats the newest value."""


class Saved(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="seasonal_naive", tag_field="kind"):
    """The content of model.json; `step` and `lags` are columns, `mean` that of the training labels."""

    names: tuple[str, ...]
    step: int
    lags: tuple[int, ...]
    season: int
    mean: float

    def __post_init__(self) -> None:
        if not all(0 <= column < len(self.names) for column in (self.step, *self.lags)):
            raise ValueError("a column is outside of the features")
        if not 1 <= self.season <= len(self.lags):
            raise ValueError("there are fewer lags than a season")


def build(**params: object) -> "SeasonalNaiveEstimator":
    """An estimator with these `Parameters`; ConfigurationError for any other."""
    return SeasonalNaiveEstimator(parameters.read("seasonal_naive", params, Parameters))


def load(files: Mapping[str, bytes]) -> Model:
    """The model saved in `files`."""
    return SeasonalNaive(parameters.decode("seasonal_naive", files, Saved))


@dataclass(frozen=True)
class SeasonalNaiveEstimator:
    """Finds the columns and takes the mean label."""

    params: Parameters

    def fit(self, training: TrainingSet) -> Model:
        """The rule for `training`; ConfigurationError when the lags do not reach back one season."""
        check_served("seasonal_naive", TASKS, training)
        step = position(training.names, self.params.step, "step")
        lags = _lags.columns("seasonal_naive", training.names, self.params.lags)
        _lags.check_enough("seasonal_naive", len(lags), self.params.season, self.params.lags)
        return SeasonalNaive(Saved(training.names, step, lags, self.params.season, float(training.y.mean())))


class SeasonalNaive:
    """The rule, with the columns it reads."""

    def __init__(self, saved: Saved) -> None:
        self._saved = saved

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names in the order of the columns."""
        return self._saved.names

    def predict(self, X: Floats) -> Floats:
        """The newest values (rows,) at the same place of the season, of X (rows, features).

        For step h that is lag season - (h - 1) mod season; where it is missing, the lag a season earlier.
        """
        X, saved = as_batch(X, self.names), self._saved
        lags = np.ascontiguousarray(X[:, list(saved.lags)].T)
        return _lags.naives(lags, _lags.steps_of(X[:, saved.step]), saved.season, saved.mean)

    def row_scorer(self) -> Callable[[Sequence[float]], float]:
        """`predict` for one row."""
        saved = self._saved

        def score(row: Sequence[float]) -> float:
            if len(row) != len(saved.names):
                raise wrong_width(len(row), saved.names)
            lags = [row[column] for column in saved.lags]
            return _lags.naive(lags, _lags.step_of(row[saved.step]), saved.season, saved.mean)

        return score

    def files(self) -> dict[str, bytes]:
        """model.json."""
        return {"model.json": msgspec.json.encode(self._saved)}
