"""Intervals of figures by resampling whole days: the rows of one day share its weather.

It must not draw for one model otherwise than for another: the same days drawn by the same seed make the
difference of two models' draws a draw of their difference.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from mlplatform.errors import ConfigurationError, ModelError
from mlplatform.stages.evaluation.evaluators._counts import area, average_precision, ranked
from mlplatform.stages.evaluation.evaluators._losses import absolute, log_losses, squared
from mlplatform.stages.evaluation.metrics import Metric, r2
from mlplatform.stages.evaluation.values import Floats

DRAWS = 200
LEVEL = 0.9
"""Share of the draws between the ends of an interval."""
SEED = 20130101
FEWEST_DAYS = 5
"""With fewer days there are no draws: their spread says nothing."""


class Interval(msgspec.Struct, frozen=True):
    """The ends of a figure's or a gain's interval."""

    low: float
    high: float


class Resampled(msgspec.Struct, frozen=True):
    """`place` (n,): which day a row belongs to; `weights` (draws, days): how often a draw holds each day."""

    place: NDArray[np.intp]
    weights: NDArray[np.int64]


def resample(days: pl.Series, count: int = DRAWS, seed: int = SEED) -> Resampled:
    """Draw as many days as there are, with replacement, `count` times.

    The cluster bootstrap, the days being the clusters (Davison & Hinkley 1997, section 3.8; Field & Welsh
    2007).

    Parameters
    ----------
    days : (n,) the day of each row, of any type that can be sorted, none missing
    """
    known = days.unique().sort()
    place = known.search_sorted(days).to_numpy().astype(np.intp)
    # RandomState's stream is frozen, that of the newer generators is not: stored draws stay comparable.
    drawn = np.random.RandomState(seed).randint(0, len(known), size=(count, len(known)))
    rows = np.arange(count)[:, None] * len(known)
    weights = np.bincount((drawn + rows).ravel(), minlength=count * len(known))
    return Resampled(place, weights.reshape(count, len(known)))


def draws(task: str, y: Floats, p: Floats, days: pl.Series) -> dict[str, tuple[float, ...]]:
    """The figures that a rule may choose by, and the base rate, on each of 200 resamplings of the days.

    Parameters
    ----------
    task : "classification" or "regression"; for others there are no draws
    y, p, days : (n,) what the task's evaluators take, and the day of each row

    Returns
    -------
    dict
        per figure its draws (200,), always in the same order of draws; none for fewer than 5 days, nor for a
        figure that is not defined on every draw.

    Raises
    ------
    ModelError
        if there is not one day per row.
    """
    if len(days) != len(y) or days.null_count():
        raise ModelError(f"got {len(days) - days.null_count()} days for {len(y)} rows; each row has one.")
    if days.n_unique() < FEWEST_DAYS:
        return {}
    resampled = resample(days)
    made = {"classification": _classification, "regression": _regression}
    found = made[task](y, p, resampled) if task in made else {}
    return {name: tuple(each.tolist()) for name, each in found.items() if np.isfinite(each).all()}


def interval(drawn: Sequence[float], level: float = LEVEL) -> Interval:
    """The middle `level` of the draws, by the percentile method (Efron & Tibshirani 1993, chapter 13)."""
    low, high = np.quantile(np.asarray(drawn), [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return Interval(float(low), float(high))


def gain_interval(
    metric: Metric, mine: Sequence[float], theirs: Sequence[float], level: float = LEVEL
) -> Interval:
    """The interval of the gain of one model over another, judged on the same rows with the same draws."""
    if len(mine) != len(theirs):
        raise ConfigurationError(
            f"got {len(mine)} draws against {len(theirs)}; a gain is taken draw by draw.",
            hint="Evaluate both models again.",
        )
    ahead = np.subtract(mine, theirs)
    return interval(list(ahead if metric.higher_is_better else -ahead), level)


def _classification(y: Floats, p: Floats, resampled: Resampled) -> dict[str, Floats]:
    areas, precisions = _of_ranks(y, p, resampled)
    return {
        "base_rate": _means(y, resampled),
        "log_loss": _means(log_losses(y, p), resampled),
        "brier": _means(squared(y, p), resampled),
        "roc_auc": areas,
        "average_precision": precisions,
    }


def _regression(y: Floats, p: Floats, resampled: Resampled) -> dict[str, Floats]:
    centred = y - y.mean()
    sums = (_sums(column, resampled) for column in (centred, centred**2, np.ones(len(y)), squared(y, p)))
    explained = [r2(*each) for each in zip(*sums, strict=True)]
    return {
        "rmse": np.sqrt(_means(squared(y, p), resampled)),
        "mae": _means(absolute(y, p), resampled),
        "r2": np.array([np.nan if each is None else each for each in explained]),
    }


def _sums(values: Floats, resampled: Resampled) -> Floats:
    """Sum over the rows of each draw: a sum per day is all that is needed of a day."""
    sums: Floats = resampled.weights.astype(np.float64) @ np.bincount(resampled.place, values)
    return sums


def _means(losses: Floats, resampled: Resampled) -> Floats:
    return _sums(losses, resampled) / (resampled.weights @ np.bincount(resampled.place))


def _of_ranks(y: Floats, p: Floats, resampled: Resampled) -> tuple[Floats, Floats]:
    """Areas under the ROC curve and average precisions: the rows are sorted once, a draw only weighs them."""
    order, last_of_tie = ranked(p)
    place, positive = resampled.place[order], y[order].astype(np.int64)
    found = np.full((2, len(resampled.weights)), np.nan)
    for at, weights in enumerate(resampled.weights):
        rows = weights[place]
        hits = np.cumsum(rows * positive)[last_of_tie]
        alarms = np.cumsum(rows)[last_of_tie] - hits
        if hits[-1] and alarms[-1]:
            found[:, at] = area(hits, alarms), average_precision(hits, alarms)
    return found[0], found[1]
