"""Rows to search on, and a model whose figure on each fold is what a test says it is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from mlplatform.errors import ConfigurationError
from mlplatform.stages.evaluation.search.folds import Fold, of_training_set
from mlplatform.stages.training.contract import Floats, TrainingSet

NOISE, WEIGHTS = 5.0, 0.3
"""Standard deviations: ridge's best penalty is their squared ratio."""


def days(count: int, a_day: int) -> pl.Series:
    """The day of each row, `a_day` rows a day."""
    return pl.Series([str(date(2025, 1, 1) + timedelta(days=row // a_day)) for row in range(count)])


def regression(rows: int = 600, columns: int = 40, seed: int = 0) -> TrainingSet:
    """A linear outcome whose weights are drawn from a normal distribution, with noise."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(rows, columns))
    y = X @ random.normal(scale=WEIGHTS, size=columns) + random.normal(scale=NOISE, size=rows)
    return TrainingSet(X, y, tuple(f"x{i}" for i in range(columns)), task="regression")


def regression_folds(folds: int = 3) -> list[Fold]:
    """Folds of 60 days of it."""
    return of_training_set(regression(), days(600, 10), folds)


def steps(rows: int = 3000, seed: int = 0) -> TrainingSet:
    """Classes by two of six columns, whose four cells have four rates: a tree needs two levels, no more."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(rows, 6))
    y = np.array([0.05, 0.35, 0.65, 0.95])[2 * (X[:, 0] > 0) + (X[:, 1] > 0)]
    return TrainingSet(X, (random.random(rows) < y).astype(np.float64), tuple("abcdef"))


def step_folds(folds: int = 3) -> list[Fold]:
    """Folds of 30 days of it."""
    return of_training_set(steps(), days(3000, 100), folds)


@dataclass
class Told:
    """A model file: `figure(params, fold)` is its rmse on fold 0, 1, …; it counts how often it was fitted."""

    figure: Callable[[Mapping[str, object], int], float]
    fits: int = 0
    refused: Callable[[Mapping[str, object]], str] = lambda params: ""

    def build(self, **params: object) -> "Estimator":
        if why := self.refused(params):
            raise ConfigurationError(why)
        return Estimator(self, params)


@dataclass(frozen=True)
class Estimator:
    """Parameters, of which the figure follows."""

    told: Told
    params: Mapping[str, object]

    def fit(self, training: TrainingSet) -> "Constant":
        """A constant that is off by what was told, where the labels are 0."""
        self.told.fits += 1
        return Constant(self.told.figure(self.params, len(training.y) // 10 - 1))


@dataclass(frozen=True)
class Constant:
    """The same score for every row."""

    value: float
    names: tuple[str, ...] = ("x",)

    def predict(self, X: Floats) -> Floats:
        """The constant."""
        return np.full(len(X), self.value)

    def row_scorer(self) -> Callable[[Sequence[float]], float]:
        """The constant."""
        return lambda row: self.value

    def files(self) -> dict[str, bytes]:
        """None: it is not kept."""
        return {}


def told_folds(count: int) -> list[Fold]:
    """Folds with labels 0 to judge by, so that a constant's rmse is the constant; n has 10 (n + 1)."""
    made = []
    for fold in range(count):
        learned = 10 * (fold + 1)
        y = np.zeros(learned)
        training = TrainingSet(np.zeros((learned, 1)), y, ("x",), task="regression")
        made.append(Fold(training, np.zeros((5, 1)), np.zeros(5)))
    return made
