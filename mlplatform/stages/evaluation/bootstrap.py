"""Intervals of figures by resampling whole days: the rows of one day share its weather.

It must not draw for one model otherwise than for another: the same days drawn by the same seed make the
difference of two models' draws a draw of their difference.
"""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from mlplatform.errors import ConfigurationError, ModelError
from mlplatform.stages.evaluation.evaluators import _lists
from mlplatform.stages.evaluation.evaluators._counts import area, average_precision, ranked
from mlplatform.stages.evaluation.evaluators._losses import absolute, log_losses, squared
from mlplatform.stages.evaluation.evaluators._silhouettes import sample, silhouettes
from mlplatform.stages.evaluation.metrics import Metric, r2
from mlplatform.stages.evaluation.values import Floats

Known = Mapping[str, object]
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


def draws(
    task: str, y: Floats, p: Floats, days: pl.Series, known: Mapping[str, object] | None = None
) -> dict[str, tuple[float, ...]]:
    """The figures that a rule may choose by, and the base rate, on each of 200 resamplings of the days.

    Parameters
    ----------
    y, p, days : (n,) what the task's evaluators take, and the day of each row
    known : what else is known of the rows, by name: a ranking needs `groups` (a group is of the day of its
        earliest row), a clustering `X`; without it there are no draws

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
    found = _MADE[task](y, p, resampled, known or {}) if task in _MADE else {}
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


def _classification(y: Floats, p: Floats, resampled: Resampled, known: Known) -> dict[str, Floats]:
    areas, precisions = _of_ranks(y, p, resampled)
    return {
        "base_rate": _means(y, resampled),
        "log_loss": _means(log_losses(y, p), resampled),
        "brier": _means(squared(y, p), resampled),
        "roc_auc": areas,
        "average_precision": precisions,
    }


def _regression(y: Floats, p: Floats, resampled: Resampled, known: Known) -> dict[str, Floats]:
    centred = y - y.mean()
    sums = (_sums(column, resampled) for column in (centred, centred**2, np.ones(len(y)), squared(y, p)))
    explained = [r2(*each) for each in zip(*sums, strict=True)]
    return {
        "rmse": np.sqrt(_means(squared(y, p), resampled)),
        "mae": _means(absolute(y, p), resampled),
        "r2": np.array([np.nan if each is None else each for each in explained]),
    }


def _forecasting(y: Floats, p: Floats, resampled: Resampled, known: Known) -> dict[str, Floats]:
    found = _regression(y, p, resampled, known)
    if known.get("naive") is None:
        return found
    naive = np.asarray(known["naive"])
    scale = _means(absolute(y, naive), resampled)
    with np.errstate(divide="ignore", invalid="ignore"):
        mase = found["mae"] / scale
    return found | {"mae_naive": scale, "mase": mase, "gain_over_naive": 1.0 - mase}


def _ranking(y: Floats, p: Floats, resampled: Resampled, known: Known) -> dict[str, Floats]:
    if known.get("groups") is None:
        return {}
    rows = _lists.listed(y, p, np.asarray(known["groups"]))
    day = np.minimum.reduceat(resampled.place[rows.order], rows.starts)
    worth = y if known.get("worth") is None else np.asarray(known["worth"])
    values = {
        f"ndcg_at_{_lists.K}": _lists.ndcgs(rows, _lists.K),
        "hit_rate_at_1": _lists.hits(rows, 1),
        f"hit_rate_at_{_lists.K}": _lists.hits(rows, _lists.K),
        "top1_regret": _lists.regrets(rows),
        "top1_mean": _lists.firsts(rows, worth),
    }
    of_groups = Resampled(day, resampled.weights)
    return {name: _means(each, of_groups) for name, each in values.items()}


def _clustering(y: Floats, p: Floats, resampled: Resampled, known: Known) -> dict[str, Floats]:
    """The silhouettes of the sampled rows stay what they are; a draw only weighs them."""
    if known.get("X") is None:
        return {}
    X = np.asarray(known["X"])
    kept = sample(p, X)
    if len(np.unique(p[kept])) < 2:
        return {}
    values = silhouettes(p[kept], X[kept])
    return {"silhouette": _means(values, Resampled(resampled.place[kept], resampled.weights))}


def _sums(values: Floats, resampled: Resampled) -> Floats:
    """Sum over the rows of each draw: a sum per day is all that is needed of a day."""
    per_day = np.bincount(resampled.place, values, resampled.weights.shape[1])
    sums: Floats = resampled.weights.astype(np.float64) @ per_day
    return sums


def _means(values: Floats, resampled: Resampled) -> Floats:
    """Mean over the rows of each draw that have a value; NaN for a draw without one."""
    known = ~np.isnan(values)
    counts = _sums(known.astype(np.float64), resampled)
    sums = _sums(np.where(known, values, 0.0), resampled)
    means: Floats = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0.0)
    return means


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


_MADE = {
    "classification": _classification,
    "regression": _regression,
    "forecasting": _forecasting,
    "ranking": _ranking,
    "clustering": _clustering,
}
