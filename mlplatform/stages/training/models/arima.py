"""Seasonal ARIMA: fitted by statsmodels series by series, kept as weights of the newest values.

Given its parameters, a forecast is an intercept plus one weight per lag, so scoring needs no statsmodels and
sums in a fixed order. It must not choose its orders: a use case declares one candidate per choice.
Box, Jenkins, Reinsel & Ljung 2015, chapter 9; Durbin & Koopman 2012.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
import numpy as np

from mlplatform.errors import ConfigurationError, ModelError
from mlplatform.stages.training import parameters
from mlplatform.stages.training.contract import (
    Model,
    Task,
    TrainingSet,
    check_served,
    position,
)
from mlplatform.stages.training.models import _arrays, _lags, _state_space
from mlplatform.stages.training.models._arima import ALL, WEIGHTS, Arima, Level, Saved
from mlplatform.stages.training.models._numbers import Index

TASKS: tuple[Task, ...] = ("forecasting",)

_Order = Annotated[int, msgspec.Meta(ge=0, le=12)]
_Season = Annotated[int, msgspec.Meta(ge=0, le=1_000)]


class Parameters(msgspec.Struct, frozen=True):
    """What defs.yaml may say; the meaning is that of statsmodels' SARIMAX."""

    order: tuple[_Order, _Order, _Order] = (1, 0, 1)
    seasonal_order: tuple[_Order, _Order, _Order, _Season] = (0, 1, 1, 24)
    trend: Literal["n", "c"] = "n"
    """`c` has a constant. A trend over time is taken by differences: lags do not say what time it is."""
    step: str = "step"
    """Feature that says how many steps ahead a row is: 1, 2, …"""
    lags: str = "lag_"
    """Beginning of the names of the newest values: lag_1 (the newest), lag_2, … All there are are used."""
    series: str | None = None
    """Category feature that tells the series; one fit per level. Without it, there is one series."""
    fit_steps: Annotated[int, msgspec.Meta(ge=10)] = 2160
    """How many of the newest steps of each series are fitted; the time of a fit grows with it."""
    maxiter: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 50

    @property
    def season(self) -> int:
        """In steps; 1 without a season."""
        return max(1, self.seasonal_order[3])

    @property
    def needed(self) -> int:
        """Lags without which a difference or an autoregression would look at nothing."""
        (p, d, _), (P, D, _, s) = self.order, self.seasonal_order
        return max(self.season, p + d + (P + D) * s)


def build(**params: object) -> "ArimaEstimator":
    """An estimator with these `Parameters`; ConfigurationError for any other, or a season of no length."""
    read = parameters.read("arima", params, Parameters)
    *orders, season = read.seasonal_order
    if season == 1 or (season == 0) == any(orders):
        raise ConfigurationError(
            f"arima: got seasonal_order: {list(read.seasonal_order)}; allowed: [P, D, Q, s] with s of 2 and "
            "more, or [0, 0, 0, 0] without a season.",
            hint="s is the season in steps: 24 for hours of a day.",
        )
    return ArimaEstimator(read)


def load(files: Mapping[str, bytes]) -> Model:
    """The model saved in `files`."""
    saved = parameters.decode("arima", files, Saved)
    shape = (len(saved.levels), saved.steps, len(saved.lags))
    return Arima(saved, _arrays.read("arima", files, WEIGHTS, shape))


@dataclass(frozen=True)
class ArimaEstimator:
    """Fits each series by itself."""

    params: Parameters

    def fit(self, training: TrainingSet) -> Model:
        """The weights of every series of `training`; one with too few values is left to the seasonal naive.

        Raises
        ------
        ConfigurationError
            for fewer lags than the orders need, or several series without `series`.
        ModelError
            when no series can be fitted.
        """
        check_served("arima", TASKS, training)
        params = self.params
        step = position(training.names, params.step, "step")
        lags = _lags.columns("arima", training.names, params.lags)
        _lags.check_enough("arima", len(lags), params.needed, params.lags)
        column = self._column(training)
        steps = int(_lags.steps_of(training.X[:, step]).max())
        found = {
            code: self._fitted(training, rows, len(lags), steps) for code, rows in _levels(training, column)
        }
        kept = {code: each for code, each in found.items() if each is not None}
        if not kept or not steps:
            raise ModelError(
                f"arima: got no series of {self._fewest} values and more, with a step in {params.step!r}.",
                hint="Train on a longer window, or choose lower orders.",
            )
        levels = tuple(
            Level(code, each.params, each.converged, tuple(each.intercepts.tolist()))
            for code, each in kept.items()
        )
        mean = float(training.y.mean())
        saved = Saved(training.names, step, lags, column, params.season, mean, steps, levels)
        return Arima(saved, np.array([each.weights for each in kept.values()]))

    @property
    def _fewest(self) -> int:
        """Values of a series below which it is not fitted: a season beyond what the orders take."""
        return self.params.needed + self.params.season + 10

    def _fitted(
        self, training: TrainingSet, rows: Index, lags: int, steps: int
    ) -> _state_space.Fitted | None:
        values = _state_space.series(training.moments[rows], training.y[rows])[-self.params.fit_steps :]
        if np.count_nonzero(~np.isnan(values)) < self._fewest or not steps:
            return None
        orders = _state_space.Orders(self.params.order, self.params.seasonal_order, self.params.trend)
        return _state_space.fit(values, orders, self.params.maxiter, lags, steps)

    def _column(self, training: TrainingSet) -> int | None:
        name, groups = self.params.series, len(np.unique(training.queries))
        if name is not None and name in training.names and name not in training.categories:
            raise ConfigurationError(
                f"arima: got series: {name!r}, a number; allowed: "
                f"{', '.join(training.categories) or 'none'}.",
                hint="Declare the feature as a category.",
            )
        if name is None and groups > 1:
            raise ConfigurationError(
                f"arima: got {groups} series and no parameter series; it names the feature that tells them.",
                hint=f"Set series to one of {', '.join(training.categories) or 'the category features'}.",
            )
        return None if name is None else position(training.names, name, "series")


def _levels(training: TrainingSet, column: int | None) -> list[tuple[int, Index]]:
    """The rows of each known level, in order of the codes; ModelError when a level holds two series."""
    codes = np.full(len(training.y), float(ALL)) if column is None else training.X[:, column]
    known = np.unique(codes[codes >= 0])
    levels = [(int(code), np.flatnonzero(codes == code)) for code in known]
    for code, rows in levels:
        if len(np.unique(training.queries[rows])) > 1:
            raise ModelError(
                f"arima: got several groups of rows in level {code} of {training.names[column or 0]!r}.",
                hint="Each series has a level of its own: number the groups as the category does.",
            )
    return levels
