"""Real flights of 2013 with twelve of their features, models learned up to a day, and champions spoiled on
purpose.

What every champion and reference says of a season is computed once and replayed by `replays.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from types import ModuleType

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mlplatform.stages.preparation.batch import compute
from mlplatform.stages.preparation.fitted import FittedFeatureSet, fit
from mlplatform.stages.training.contract import Model, TrainingSet
from mlplatform.stages.training.models import decision_tree, lightgbm, logistic_regression
from mlplatform.use_cases.flight_delay.features import FEATURES
from mlplatform_tests.agreement.test_online_equals_offline import cleaned

Floats = NDArray[np.float64]
Extra = Callable[[pl.DataFrame], Floats]

TREES: dict[str, object] = {
    "num_iterations": 60,
    "learning_rate": 0.12,
    "min_data_in_leaf": 200,
    "lambda_l2": 50,
    "num_threads": 1,
}
LEAN = (
    "carrier",
    "origin",
    "dest",
    "hour",
    "elapsed_minutes",
    "late_share_carrier_origin",
    "late_share_all",
    "leg_lateness",
    "arrival_by_queue",
    "load_origin",
    "gain_residual_dest",
    "visib_last_by_origin",
)
"""With all 158 features no single one is missed: shuffling the best of them costs 1 % of the loss, which is
below what a rollback should be about. Of these twelve each stands for a group."""
EVERY = 4
"""One row in so many is learned from: enough for what is shown here, and a quarter of the time."""
NOISE = 0.75
"""Standard deviation of what is added to the logits of a noisy champion."""
SHUFFLED = "leg_lateness"
"""How late the aircraft is expected from its leg before: the best of the twelve."""
KINDS = ("noise in scores", "a shuffled feature", "a stale model", "a day-of-year feature")
MILDER = "a milder day-of-year feature"
DRAWN, SEEDS = KINDS[:2], 3
"""Kinds that are drawn by chance, and how often."""
REFERENCES = ("earlier", "other seed", "decision tree")
NEW_YEAR, STALE = date(2013, 1, 1), date(2013, 1, 14)
"""A stale model has learned until the second of these."""


@dataclass(frozen=True)
class Season:
    """Models learn from January to `until`; the days from `first` to `last` are replayed.

    `earlier`: until then learned an earlier release; `trend`: until then the one with a day-of-year feature,
    `milder_trend`: until then one that is less far off.
    """

    until: date
    earlier: date
    trend: date
    milder_trend: date
    first: date
    last: date


TUNING = Season(
    until=date(2013, 6, 30),
    earlier=date(2013, 5, 15),
    trend=date(2013, 5, 10),
    milder_trend=date(2013, 5, 31),
    first=date(2013, 7, 1),
    last=date(2013, 8, 31),
)
TEST = Season(
    until=date(2013, 8, 31),
    earlier=date(2013, 6, 30),
    trend=date(2013, 7, 10),
    milder_trend=date(2013, 7, 31),
    first=date(2013, 9, 1),
    last=date(2013, 12, 31),
)
SEASONS = {"July-August": TUNING, "September-December": TEST}


@cache
def year() -> pl.DataFrame:
    """Every flight: its features, `at` (when it is asked about), `known_at` and `late` (null: never)."""
    tables = cleaned("2013-01-01", "2013-12-31")
    winds = pl.col("wind_speed", "wind_gust")  # repaired as in defs.yaml: one is 1,048 mph
    tables["weather"] = tables["weather"].with_columns(pl.when(winds <= 200).then(winds))
    spine = tables["flights"]
    rows = compute(FEATURES, spine, tables).with_columns(
        at="as_of", known_at=spine["arr_time"], late=spine["late"], day=spine["partition_key"].str.to_date()
    )
    return rows.sort("at", "carrier", "flight")


@cache
def answers(season: Season) -> pl.DataFrame:
    """The season's flights with a column per champion and reference: what it says of them."""
    rows = year().filter(pl.col("day").is_between(season.first, season.last))
    champion = learned(lightgbm, TREES, season.until)
    models = {
        "clean": champion,
        "earlier": learned(lightgbm, TREES, season.earlier),
        "other seed": learned(lightgbm, TREES | {"seed": 7, "feature_fraction": 0.7}, season.until),
        "decision tree": learned(decision_tree, {"max_depth": 8, "min_samples_leaf": 100}, season.until),
        "a stale model": learned(lightgbm, TREES | {"min_data_in_leaf": 50}, STALE),
        "a day-of-year feature": learned(logistic_regression, {}, season.trend, TREND),
        MILDER: learned(logistic_regression, {}, season.milder_trend, TREND),
    }
    scores = {name: model.scores(rows) for name, model in models.items()}
    for seed in range(SEEDS):
        scores[f"noise in scores {seed}"] = noisy(scores["clean"], np.random.default_rng(seed))
        mixed = rows.with_columns(pl.col(SHUFFLED).shuffle(seed))
        scores[f"a shuffled feature {seed}"] = champion.scores(mixed)
    kept = rows.select("day", "at", "known_at", "late")
    return kept.with_columns(pl.Series(name, values) for name, values in scores.items())


@dataclass(frozen=True)
class Learned:
    """A model, the dictionaries it was learned with, and the columns it has beyond the lean ones."""

    fitted: FittedFeatureSet
    model: Model
    more: Sequence[Extra]

    def scores(self, rows: pl.DataFrame) -> Floats:
        """Probabilities (rows,)."""
        return self.model.predict(matrix(self.fitted, rows, self.more))


def learned(
    kind: ModuleType, params: Mapping[str, object], last: date, more: Sequence[Extra] = ()
) -> Learned:
    """A model of the flights from New Year to `last`."""
    rows = year().filter(pl.col("day") <= last, pl.col("late").is_not_null()).gather_every(EVERY)
    fitted = fit(FEATURES, rows)
    names = (*LEAN, *(f"trend_{at}" for at, _ in enumerate(more)))
    categories = {name: count for name, count in fitted.categories.items() if name in LEAN}
    late = rows["late"].cast(pl.Float64).to_numpy()
    model = kind.build(**params).fit(TrainingSet(matrix(fitted, rows, more), late, names, categories))
    return Learned(fitted, model, more)


def matrix(fitted: FittedFeatureSet, rows: pl.DataFrame, more: Sequence[Extra]) -> Floats:
    """The lean features, and what else is given of each row."""
    X = fitted.matrix(rows)[:, [fitted.names.index(name) for name in LEAN]]
    return np.ascontiguousarray(np.column_stack([X, *(each(rows) for each in more)]))


def day_of_year(rows: pl.DataFrame) -> Floats:
    """1 on 1 January: what an innocent modeller adds to tell the season; no later one is told by it."""
    return rows["day"].dt.ordinal_day().cast(pl.Float64).to_numpy()


def its_square(rows: pl.DataFrame) -> Floats:
    """Its square, so that summer can be the peak."""
    return np.asarray(day_of_year(rows) ** 2)


TREND: tuple[Extra, ...] = (day_of_year, its_square)


def noisy(p: Floats, random: np.random.Generator) -> Floats:
    """Scores with noise in their logits."""
    logit = np.log(p) - np.log1p(-p) + NOISE * random.normal(size=len(p))
    return np.asarray(1.0 / (1.0 + np.exp(-logit)))
