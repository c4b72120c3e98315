"""Slices: the metric of each level that has enough rows, under a name that says which."""

import numpy as np
import polars as pl
import pytest

from mlplatform.errors import ConfigurationError, ModelError
from mlplatform.stages.evaluation.metrics import METRICS
from mlplatform.stages.evaluation.pictures import draw
from mlplatform.stages.evaluation.slices import MOST_BARS, by_level

RANDOM = np.random.default_rng(2)
P = RANDOM.beta(2, 5, 1_000)
Y = (RANDOM.random(1_000) < P).astype(np.float64)
ORIGIN = pl.Series("origin", ["EWR"] * 500 + ["JFK"] * 400 + ["LGA"] * 60 + [None] * 40)


def test_each_level_with_enough_rows_has_its_figure_and_its_rows() -> None:
    figures = by_level("log_loss", Y, P, ORIGIN, 60).figures
    assert figures == {
        "log_loss[origin=EWR]": METRICS["log_loss"].of(Y[:500], P[:500]),
        "log_loss[origin=JFK]": METRICS["log_loss"].of(Y[500:900], P[500:900]),
        "log_loss[origin=LGA]": METRICS["log_loss"].of(Y[900:960], P[900:960]),
        "rows[origin=EWR]": 500.0,
        "rows[origin=JFK]": 400.0,
        "rows[origin=LGA]": 60.0,
    }


def test_a_missing_value_is_a_level() -> None:
    assert by_level("brier", Y, P, ORIGIN, 1).figures["rows[origin=missing]"] == 40.0


def test_a_level_without_the_figure_is_left_out() -> None:
    y = Y.copy()
    y[:500] = 0.0
    assert "roc_auc[origin=EWR]" not in by_level("roc_auc", y, P, ORIGIN, 1).figures
    assert "log_loss[origin=EWR]" in by_level("log_loss", y, P, ORIGIN, 1).figures


@pytest.mark.parametrize("values", [[1, 2], [True, False], [0.5, 1.5]])
def test_levels_of_other_types_are_texts(values: list[object]) -> None:
    figures = by_level("brier", Y, P, pl.Series("x", values * 500), 300).figures
    assert len(figures) == 4


@pytest.mark.parametrize("metric", ["log_loss", "roc_auc"])
def test_the_picture_has_the_worst_first_and_not_too_many(metric: str) -> None:
    levels = pl.Series("carrier", [f"C{n % 40:02d}" for n in range(1_000)])
    said = by_level(metric, Y, P, levels, 5)
    assert said.picture is not None
    assert len(said.picture.bars) == MOST_BARS
    values = [bar.value for bar in said.picture.bars]
    assert values == sorted(values, reverse=metric == "log_loss")
    assert len(draw(said.picture)) < 40_000


def test_no_level_with_enough_rows_is_no_picture() -> None:
    said = by_level("log_loss", Y, P, ORIGIN, 501)
    assert (said.figures, said.picture) == ({}, None)


def test_a_level_of_a_ranking_has_the_figure_of_its_groups() -> None:
    groups = np.repeat(np.arange(200), 5)
    y = np.round(10 * P)
    figures = by_level("ndcg_at_5", y, P, ORIGIN, 60, {"groups": groups}).figures
    expected = METRICS["ndcg_at_5"].of(y[:500], P[:500], groups[:500])
    assert figures["ndcg_at_5[origin=EWR]"] == expected == pytest.approx(1.0, abs=0.02)


def test_wrong_use_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="the metric asks for groups"):
        by_level("ndcg_at_5", Y, P, ORIGIN)
    with pytest.raises(ConfigurationError, match="a slice names the metric 'accuracy'; allowed: log_loss"):
        by_level("accuracy", Y, P, ORIGIN)
    with pytest.raises(ModelError, match="999 values of 'origin' for 1000 rows"):
        by_level("log_loss", Y, P, ORIGIN[1:])
