"""Draws against figures computed on resampled rows one by one, and what intervals promise."""

import math
import time

import numpy as np
import polars as pl
import pytest
from sklearn import metrics

from mlplatform import plugins
from mlplatform.errors import ConfigurationError, ModelError
from mlplatform.stages.evaluation import evaluators
from mlplatform.stages.evaluation.bootstrap import (
    DRAWS,
    Interval,
    draws,
    gain_interval,
    interval,
    resample,
)
from mlplatform.stages.evaluation.call import TASKS
from mlplatform.stages.evaluation.evaluators import forecast_errors, ranking
from mlplatform.stages.evaluation.evaluators.silhouette import silhouettes
from mlplatform.stages.evaluation.metrics import METRICS
from mlplatform.stages.evaluation.report import evaluate_all
from mlplatform.stages.evaluation.values import Floats
from mlplatform_tests.conformance import judged


def made(rows: int = 600, days: int = 12, seed: int = 0) -> tuple[Floats, Floats, pl.Series]:
    """Labels, rounded scores (so that there are ties) and days, the day having a weather of its own."""
    random = np.random.default_rng(seed)
    day = np.sort(random.integers(0, days, rows))
    p = np.round(random.beta(2, 5, rows), 2)
    shift = random.normal(0, 0.05, days)[day]
    y = (random.random(rows) < np.clip(p + shift, 0, 1)).astype(np.float64)
    return y, p, pl.Series("day", [f"2013-11-{d + 1:02d}" for d in day])


def by_hand(y: Floats, p: Floats, days: pl.Series, draw: int) -> tuple[Floats, Floats]:
    """The rows that a draw stands for, each repeated as often as its day was drawn."""
    resampled = resample(days)
    repeats = resampled.weights[draw][resampled.place]
    return np.repeat(y, repeats), np.repeat(p, repeats)


@pytest.mark.parametrize("name", ["log_loss", "brier", "roc_auc", "average_precision"])
def test_a_draw_is_the_figure_of_the_repeated_rows(name: str) -> None:
    y, p, days = made()
    drawn = draws("classification", y, p, days)[name]
    for draw in (0, 7, DRAWS - 1):
        assert drawn[draw] == pytest.approx(METRICS[name].of(*by_hand(y, p, days, draw)), abs=1e-12)


@pytest.mark.parametrize("name", ["rmse", "mae", "r2"])
def test_a_draw_of_a_regression_too(name: str) -> None:
    y, p, days = made()
    y = 40.0 + 10 * y
    drawn = draws("regression", y, 41 + 9 * p, days)[name]
    for draw in (0, 7, DRAWS - 1):
        of = METRICS[name].of(*by_hand(y, 41 + 9 * p, days, draw))
        assert drawn[draw] == pytest.approx(of, abs=1e-9)


def test_metrics_agree_with_scikit_learn() -> None:
    y, p, _ = made()
    assert METRICS["r2"].of(y, p) == pytest.approx(metrics.r2_score(y, p), abs=1e-12)
    assert METRICS["rmse"].of(y, p) == pytest.approx(metrics.root_mean_squared_error(y, p), abs=1e-12)
    assert METRICS["mae"].of(y, p) == pytest.approx(metrics.mean_absolute_error(y, p), abs=1e-12)
    assert METRICS["roc_auc"].of(y, p) == pytest.approx(metrics.roc_auc_score(y, p), abs=1e-12)


def test_each_draw_holds_as_many_days_as_there_are_and_repeats() -> None:
    _, _, days = made()
    first, again = resample(days), resample(days)
    assert first.weights.shape == (DRAWS, 12)
    assert set(first.weights.sum(axis=1)) == {12}
    assert np.array_equal(first.weights, again.weights)
    assert not np.array_equal(first.weights, resample(days, seed=1).weights)


def test_the_stream_of_draws_is_the_one_that_stored_draws_were_made_with() -> None:
    weights = resample(pl.Series(["a", "b", "c", "d", "e"]), count=3).weights
    assert weights.tolist() == [[0, 0, 1, 4, 0], [0, 1, 2, 0, 2], [0, 2, 0, 2, 1]]


def test_the_order_of_the_rows_is_irrelevant() -> None:
    y, p, days = made()
    order = np.random.default_rng(1).permutation(len(y))
    mixed = draws("classification", y[order], p[order], days[order.tolist()])
    for name, drawn in draws("classification", y, p, days).items():
        assert mixed[name] == pytest.approx(drawn, abs=1e-12)


def test_draws_spread_around_the_figure() -> None:
    y, p, days = made(6_000, 30)
    for name in ("log_loss", "brier", "roc_auc", "average_precision"):
        ends = interval(draws("classification", y, p, days)[name])
        assert ends.low < METRICS[name].of(y, p) < ends.high  # type: ignore[operator]


def test_an_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    inside = 0
    for seed in range(100):
        random = np.random.default_rng(seed)
        day = np.repeat(np.arange(40), 20)
        y = random.normal(0, 1, 40)[day] + random.normal(0, 1, 800)
        ends = interval(draws("regression", y, np.zeros(800), pl.Series(day))["rmse"])
        inside += ends.low <= math.sqrt(2.0) <= ends.high
    assert 75 <= inside <= 97


def test_a_paired_gain_is_narrower_than_two_intervals_and_knows_its_sign() -> None:
    y, p, days = made(6_000, 30)
    worse = np.clip(p + 0.15, 0, 1)
    mine, theirs = (draws("classification", y, each, days)["log_loss"] for each in (p, worse))
    gain = gain_interval(METRICS["log_loss"], mine, theirs)
    assert 0.0 < gain.low < gain.high
    assert gain.high - gain.low < interval(mine).high - interval(mine).low
    back = gain_interval(METRICS["log_loss"], theirs, mine)
    assert (back.low, back.high) == pytest.approx((-gain.high, -gain.low), abs=1e-12)
    assert gain_interval(METRICS["roc_auc"], [2.0, 2.0], [1.0, 1.0]) == Interval(1.0, 1.0)


def test_draws_of_other_rows_are_no_pair() -> None:
    with pytest.raises(ConfigurationError, match="2 draws against 1"):
        gain_interval(METRICS["log_loss"], [0.1, 0.2], [0.1])


def test_a_draw_of_a_forecast_knows_the_naive() -> None:
    y, p, days = made()
    y, p = 40.0 + 10 * y, 41 + 9 * p
    naive = np.where(np.arange(600) % 7 == 0, np.nan, y[::-1])
    drawn = draws("forecasting", y, p, days, {"naive": naive, "steps": np.ones(600)})
    assert set(drawn) == {"rmse", "mae", "r2", "mae_naive", "mase", "gain_over_naive"}
    for draw in (0, DRAWS - 1):
        again, predicted = by_hand(y, p, days, draw)
        steps, baseline = by_hand(np.ones(600), naive, days, draw)
        figures = forecast_errors.evaluate(again, predicted, steps, baseline).figures
        for name in figures:
            assert drawn[name][draw] == pytest.approx(figures[name], abs=1e-9)
    assert set(draws("forecasting", y, p, days)) == {"rmse", "mae", "r2"}


def lists() -> tuple[Floats, Floats, pl.Series, dict[str, object]]:
    """Groups of five alternatives, each of one day, with ties, groups without relevance, and a worth."""
    random = np.random.default_rng(4)
    groups = np.repeat(np.arange(80), 5)
    y = (random.integers(0, 4, 400) * (groups % 9 > 0)).astype(np.float64)
    worth = np.where(random.random(400) < 0.1, np.nan, random.normal(10, 5, 400))
    days = pl.Series("day", [f"2013-11-{g % 12 + 1:02d}" for g in groups])
    return y, np.round(y + random.normal(0, 1, 400)), days, {"groups": groups, "worth": worth}


def test_a_draw_of_a_ranking_repeats_its_groups() -> None:
    y, p, days, known = lists()
    groups, worth = np.asarray(known["groups"]), np.asarray(known["worth"])
    drawn = draws("ranking", y, p, days, known)
    assert set(drawn) == {"ndcg_at_5", "hit_rate_at_1", "hit_rate_at_5", "top1_regret", "top1_mean"}
    resampled = resample(days)
    for draw in (0, DRAWS - 1):
        repeats = resampled.weights[draw][resampled.place]
        rows = np.repeat(np.arange(400), repeats)
        copy = np.concatenate([np.arange(each) for each in repeats])
        figures = ranking.evaluate(y[rows], p[rows], groups[rows] + 1000 * copy, worth[rows]).figures
        for name, each in drawn.items():
            assert each[draw] == pytest.approx(figures[name], abs=1e-12)


def test_a_draw_of_a_clustering_weighs_its_silhouettes() -> None:
    random = np.random.default_rng(0)
    p = random.integers(0, 3, 300).astype(np.float64)
    X = random.normal(0, 1, (300, 2)) + 3 * p[:, None]
    days = pl.Series(np.arange(300) % 10)
    resampled, each = resample(days), silhouettes(p, X)
    drawn = draws("clustering", np.zeros(300), p, days, {"X": X})["silhouette"]
    for draw in (0, DRAWS - 1):
        repeated = np.repeat(each, resampled.weights[draw][resampled.place])
        assert drawn[draw] == pytest.approx(repeated.mean(), abs=1e-12)
    assert draws("clustering", np.zeros(300), np.zeros(300), days, {"X": X}) == {}
    assert draws("clustering", np.zeros(300), p, days) == {}


def test_metrics_of_every_task_are_the_figures_of_its_evaluators() -> None:
    for task in TASKS:
        y, p, known = judged.rows(task)
        names = [name for name in plugins.names(evaluators) if task in plugins.find(evaluators, name).TASKS]
        figures = evaluate_all(names, y, p, known=known).figures
        of_task = {name: metric for name, metric in METRICS.items() if task in metric.tasks}
        assert of_task
        for name, metric in of_task.items():
            assert metric.figure(y, p, known) == pytest.approx(figures[name], abs=1e-12)


def test_a_metric_without_what_it_asks_for_is_refused() -> None:
    y, p, _, _ = lists()
    with pytest.raises(ConfigurationError, match="asks for groups; known of these rows: X") as caught:
        METRICS["ndcg_at_5"].figure(y, p, {"X": np.zeros((400, 1))})
    assert caught.value.hint


def test_no_draws_for_few_days_other_tasks_and_figures_that_are_not_always_defined() -> None:
    y, p, days = made(days=4)
    assert draws("classification", y, p, days) == {}
    y, p, days = made()
    assert draws("ranking", y, p, days) == {}
    one_day = np.zeros_like(y)
    one_day[np.flatnonzero((days == days[0]).to_numpy())] = 1.0
    assert set(draws("classification", one_day, p, days)) == {"base_rate", "log_loss", "brier"}
    assert set(draws("regression", np.full_like(y, 3.0), p, days)) == {"rmse", "mae"}


def test_every_row_has_a_day() -> None:
    y, p, days = made()
    with pytest.raises(ModelError, match="599 days for 600 rows"):
        draws("classification", y, p, days[1:])
    with pytest.raises(ModelError, match="0 days for 600 rows"):
        draws("classification", y, p, pl.Series([None] * 600, dtype=pl.String))


def test_two_months_of_flights_are_cheap() -> None:
    y, p, days = made(54_000, 61)
    started = time.process_time()
    draws("classification", y, p, days)
    assert time.process_time() - started < 4.0  # 0.6 s on a quiet core
