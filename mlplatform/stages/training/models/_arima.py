"""A fitted seasonal ARIMA: per series and step an intercept and one weight per lag; it must not fit.

A forecast is summed in the order of the lags, so a row alone gets the bits it gets in a batch.
"""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from mlplatform.errors import ModelError
from mlplatform.stages.training.contract import Floats, as_batch, wrong_width
from mlplatform.stages.training.models import _arrays, _lags
from mlplatform.stages.training.models._numbers import Index

WEIGHTS = "weights.npy"
ALL = 0
"""The code of the level of a model of one series."""


class Level(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One series: its code, the parameters found, and an intercept per step."""

    code: int
    params: dict[str, float]
    converged: bool
    intercepts: tuple[float, ...]


class Saved(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="arima", tag_field="kind"):
    """The content of model.json; `step`, `lags` and `series` are columns. weights.npy holds the weights."""

    names: tuple[str, ...]
    step: int
    lags: tuple[int, ...]
    series: int | None
    season: int
    mean: float
    steps: int
    levels: tuple[Level, ...]

    def __post_init__(self) -> None:
        chosen = (self.step, *self.lags, *(() if self.series is None else (self.series,)))
        if not all(0 <= column < len(self.names) for column in chosen):
            raise ValueError("a column is outside of the features")
        if not (self.levels and 1 <= self.season <= len(self.lags)):
            raise ValueError("there is no series, or fewer lags than a season")
        if any(len(level.intercepts) != self.steps for level in self.levels):
            raise ValueError("a series has another number of steps")


class Arima:
    """Fitted weights: `weights` (levels, steps, lags)."""

    def __init__(self, saved: Saved, weights: Floats) -> None:
        self._saved, self._weights = saved, weights
        self._level = {float(level.code): at for at, level in enumerate(saved.levels)}

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names in the order of the columns."""
        return self._saved.names

    def predict(self, X: Floats) -> Floats:
        """Forecasts (rows,) of X (rows, features).

        A series that was not fitted gets its seasonal naive, a row without a step the mean of the labels.
        ModelError for a step beyond the farthest of training.
        """
        X, saved = as_batch(X, self.names), self._saved
        steps = _lags.steps_of(X[:, saved.step])
        if len(steps) and steps.max() > saved.steps:
            raise self._too_far(int(steps.max()))
        lags = np.ascontiguousarray(X[:, list(saved.lags)].T)
        scores = _lags.naives(lags, steps, saved.season, saved.mean)
        level = self._levels(X)
        rows = np.flatnonzero((level >= 0) & (steps != _lags.UNKNOWN_STEP))
        known = _lags.all_filled(lags[:, rows], saved.season, saved.mean)
        intercepts = np.array([each.intercepts for each in saved.levels])
        at = level[rows], steps[rows] - 1
        totals = intercepts[at]
        for lag, weights in zip(known, np.moveaxis(self._weights, 2, 0), strict=True):
            totals += weights[at] * lag
        scores[rows] = totals
        return scores

    def row_scorer(self) -> Callable[[Sequence[float]], float]:
        """`predict` for one row: the same operations in the same order, in plain Python."""
        saved, levels, weights = self._saved, self._level, self._weights.tolist()

        def score(row: Sequence[float]) -> float:
            if len(row) != len(saved.names):
                raise wrong_width(len(row), saved.names)
            step = _lags.step_of(row[saved.step])
            if step > saved.steps:
                raise self._too_far(step)
            lags = [row[column] for column in saved.lags]
            level = levels.get(float(ALL) if saved.series is None else row[saved.series])
            if level is None or step == _lags.UNKNOWN_STEP:
                return _lags.naive(lags, step, saved.season, saved.mean)
            total = saved.levels[level].intercepts[step - 1]
            known = _lags.filled(lags, saved.season, saved.mean)
            for lag, weight in zip(known, weights[level][step - 1], strict=True):
                total += weight * lag
            return total

        return score

    def files(self) -> dict[str, bytes]:
        """model.json and weights.npy."""
        return {"model.json": msgspec.json.encode(self._saved), WEIGHTS: _arrays.write(self._weights)}

    def _levels(self, X: Floats) -> Index:
        """Place among the fitted series of each row, -1 for one that is none of them."""
        series = self._saved.series
        codes = np.full(len(X), float(ALL)) if series is None else X[:, series]
        places = (self._level.get(code, -1) for code in codes.tolist())
        return np.fromiter(places, dtype=np.intp, count=len(X))

    def _too_far(self, step: int) -> ModelError:
        return ModelError(
            f"arima: got step {step}; allowed: 1 .. {self._saved.steps}, the steps of training.",
            hint="Train on forecasts that reach as far.",
        )
