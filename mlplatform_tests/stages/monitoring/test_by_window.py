"""Accuracy by window is that of the evaluators; intervals come of whole blocks; calibration is a table."""

import numpy as np
import polars as pl
import pytest

from mlplatform.errors import ConfigurationError, ModelError
from mlplatform.stages.evaluation.evaluators import calibration as reliability
from mlplatform.stages.evaluation.evaluators import log_loss, roc
from mlplatform.stages.monitoring.by_window import accuracy, calibration


def answers(n: int = 4_000, seed: int = 0) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    score = random.beta(2, 6, n)
    outcome = (random.random(n) < score).astype(float)
    outcome[::10] = np.nan
    week = np.arange(n) * 4 // n
    return pl.DataFrame(
        {
            "score": score,
            "outcome": outcome,
            "week": week,
            "block": [f"{each:03}" for each in np.arange(n) * 28 // n],
            "origin": random.choice(["EWR", "LGA"], n),
        }
    )


def test_each_window_has_the_evaluators_figures_within_their_intervals() -> None:
    frame = answers()
    found = accuracy(frame, "probability", by=["week"])
    assert found["week"].to_list() == [0, 1, 2, 3]
    for row in found.iter_rows(named=True):
        window = frame.filter(pl.col("week") == row["week"]).drop_nans("outcome")
        y, p = window["outcome"].to_numpy(), window["score"].to_numpy()
        assert (row["scored"], row["n"]) == (1_000, 900)
        assert row["log_loss"] == pytest.approx(log_loss.evaluate(y, p).figures["log_loss"])
        assert row["roc_auc"] == pytest.approx(roc.evaluate(y, p).figures["roc_auc"])
        for name in ("log_loss", "brier", "roc_auc"):
            assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]


def test_slices_have_rows_of_their_own_and_few_blocks_no_interval() -> None:
    found = accuracy(answers(), "probability", by=["week", "origin"])
    assert found.select("week", "origin").rows() == [(w, o) for w in range(4) for o in ("EWR", "LGA")]
    short = accuracy(answers().with_columns(block=pl.lit("one")), "probability", by=["week"])
    assert short["log_loss"].null_count() == 0
    assert short["log_loss_low"].null_count() == 4


def test_windows_without_an_outcome_or_of_one_class() -> None:
    frame = answers().with_columns(
        outcome=pl.when(pl.col("week") == 0)
        .then(None)
        .when(pl.col("week") == 1)
        .then(0.0)
        .otherwise("outcome")
    )
    found = accuracy(frame, "probability", by=["week"])
    assert found["n"].to_list() == [0, 1_000, 900, 900]
    assert found["log_loss"].null_count() == 1
    assert found["roc_auc"].is_null().to_list() == [True, True, False, False]


def test_numbers() -> None:
    random = np.random.default_rng(2)
    truth = random.normal(0, 3, 700)
    frame = pl.DataFrame(
        {
            "score": truth + random.normal(0, 1, 700),
            "outcome": truth,
            "week": 1,
            "block": [str(each % 7) for each in range(700)],
        }
    )
    row = accuracy(frame, "number", by=["week"]).row(0, named=True)
    assert row["mae"] == pytest.approx(np.abs(frame["score"] - truth).mean())
    assert row["rmse_low"] < row["rmse"] < row["rmse_high"]
    assert accuracy(frame, "forecast", by=["week"]).row(0, named=True) == row


def test_calibration_adds_up_to_the_calibration_error() -> None:
    frame = answers()
    table = calibration(frame, bins=reliability.BINS)
    assert table["n"].sum() == 3_600
    error = (table["n"] / 3_600 * (table["observed"] - table["mean_score"]).abs()).sum()
    known = frame.drop_nans("outcome")
    expected = reliability.evaluate(known["outcome"].to_numpy(), known["score"].to_numpy()).figures["ece"]
    assert error == pytest.approx(expected)
    assert (table["low"] <= table["observed"]).all()
    assert (table["observed"] <= table["high"]).all()


def test_wilsons_interval_holds_the_true_share_nine_times_in_ten() -> None:
    """Scores that are the true probabilities: the mean score of a bin is the true share."""
    inside = []
    for seed in range(60):
        table = calibration(answers(800, seed))
        inside += (table["mean_score"].is_between(table["low"], table["high"])).to_list()
    assert 0.86 < np.mean(inside) < 0.96


def test_what_cannot_be_judged_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'cluster'"):
        accuracy(answers(), "cluster", by=["week"])
    with pytest.raises(ModelError, match="no column 'month'"):
        accuracy(answers(), "probability", by=["month"])
    with pytest.raises(ModelError, match="a score of nan"):
        accuracy(answers().with_columns(score=float("nan")), "probability", by=["week"])
    with pytest.raises(ModelError, match=r"scores from 2.0 to 2.0"):
        calibration(answers().with_columns(score=2.0))
    assert calibration(answers().clear()).height == 0
