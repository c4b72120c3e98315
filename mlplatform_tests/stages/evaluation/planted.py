"""Models with a planted fault beside a good one, really fitted on made-up days and judged."""

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import polars as pl

from mlplatform import plugins
from mlplatform.stages.evaluation.judged import Candidate
from mlplatform.stages.evaluation.report import evaluate_all
from mlplatform.stages.evaluation.slices import by_level
from mlplatform.stages.evaluation.values import Floats
from mlplatform.stages.training import models
from mlplatform.stages.training.contract import Model, TrainingSet

DAYS, ROWS_A_DAY = 40, 200
ORIGINS = ("EWR", "JFK", "LGA")
NAMES = ("origin", "wind", "rain", "queue", "leak")
EVALUATORS = ("roc", "calibration", "log_loss")


def _logistic(z: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-z))


@dataclass(frozen=True)
class Rows:
    """Feature matrix in the order of NAMES, labels and days."""

    X: Floats
    y: Floats
    days: pl.Series

    @property
    def origin(self) -> pl.Series:
        return pl.Series("origin", [ORIGINS[int(code)] for code in self.X[:, 0]])


@dataclass(frozen=True)
class Planted:
    """The candidates of one seed: `rate_table`, `champion`, `good` and four bad ones."""

    seed: int

    @cached_property
    def training(self) -> Rows:
        return _rows(np.random.default_rng([self.seed, 0]))

    @cached_property
    def validation(self) -> Rows:
        return _rows(np.random.default_rng([self.seed, 1]))

    @cached_property
    def candidates(self) -> dict[str, Candidate]:
        X = self.validation.X
        good, shuffled = self._fit("wind", "rain", "queue"), self._fit("wind", "rain", "queue", shuffled=True)
        scores = {
            "rate_table": self._rate_table().predict(X[:, :1]),
            "champion": _scores(self._fit("wind", "rain"), X),
            "good": _scores(good, X),
            "shuffled": _scores(shuffled, X),
            "leaking": _scores(self._fit("wind", "rain", "queue", "leak"), X),
            "worse_at_lga": np.where(X[:, 0] == 2.0, _scores(shuffled, X), _scores(good, X)),
            "overbalanced": _scores(self._fit("wind", "rain", "queue", balanced=True), X),
        }
        return {name: self._judged(name, p) for name, p in scores.items()}

    def _fit(self, *names: str, shuffled: bool = False, balanced: bool = False) -> Model:
        random = np.random.default_rng([self.seed, 2])
        X, y = self.training.X[:, [NAMES.index(name) for name in names]], self.training.y
        y = random.permutation(y) if shuffled else y
        # Every late row four times: the usual cure for rare positives, which ruins the probabilities.
        repeats = np.where(y == 1.0, 4, 1) if balanced else np.ones(len(y), dtype=int)
        data = TrainingSet(np.ascontiguousarray(np.repeat(X, repeats, axis=0)), np.repeat(y, repeats), names)
        fitted: Model = plugins.find(models, "logistic_regression").build().fit(data)
        return fitted

    def _rate_table(self) -> Model:
        X = np.ascontiguousarray(self.training.X[:, :1])
        data = TrainingSet(X, self.training.y, ("origin",), {"origin": len(ORIGINS)})
        fitted: Model = plugins.find(models, "rate_table").build(by=["origin"]).fit(data)
        return fitted

    def _judged(self, name: str, p: Floats) -> Candidate:
        rows = self.validation
        report = evaluate_all(EVALUATORS, rows.y, p, days=rows.days)
        report = report.joined("origin", by_level("log_loss", rows.y, p, rows.origin))
        return Candidate(f"d-{name}", name, report.figures, draws=report.draws)


@cache
def candidates(seed: int) -> dict[str, Candidate]:
    """The candidates of a seed, fitted once for all tests."""
    return Planted(seed).candidates


def _rows(random: np.random.Generator) -> Rows:
    """Days with a weather of their own; `leak` is the outcome with noise, as if measured afterwards."""
    day = np.repeat(np.arange(DAYS), ROWS_A_DAY)
    count = len(day)
    origin = random.choice(3, count, p=[0.5, 0.4, 0.1]).astype(np.float64)
    wind, rain, queue = random.normal(0, 1, (3, count)) + random.normal(0, 0.3, (3, DAYS))[:, day]
    z = -1.4 + 0.3 * (origin == 0) + 0.8 * wind + 0.6 * rain + 0.8 * queue
    y = (random.random(count) < _logistic(z)).astype(np.float64)
    X = np.column_stack([origin, wind, rain, queue, y + random.normal(0, 0.4, count)])
    return Rows(X, y, pl.Series("day", [f"day {each:02d}" for each in day]))


def _scores(model: Model, X: Floats) -> Floats:
    columns = [NAMES.index(name) for name in model.names]
    return model.predict(np.ascontiguousarray(X[:, columns]))
