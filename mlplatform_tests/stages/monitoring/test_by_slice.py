"""Slices: every level's loss is its own, beside its reference's on the same rows; few rows are not judged."""

import numpy as np
import polars as pl
import pytest

from mlplatform.errors import ModelError
from mlplatform.stages.evaluation.evaluators import log_loss
from mlplatform.stages.monitoring.by_slice import SCHEMA, by_slice

N = 4_000


def answers(days: int = 20) -> pl.DataFrame:
    random = np.random.default_rng(7)
    truth = random.beta(2, 6, N)
    origin = random.choice(["EWR", "LGA"], N)
    # Wrong for LGA alone; the reference is right everywhere, and has no word on every tenth row.
    score = np.where(origin == "LGA", np.clip(truth + 0.35, 0, 1), truth)
    outcome = (random.random(N) < truth).astype(float)
    outcome[::8] = np.nan
    return pl.DataFrame(
        {
            "score": score,
            "reference": [None if place % 10 == 0 else p for place, p in enumerate(truth.tolist())],
            "outcome": outcome,
            "block": [f"{place * days // N:03}" for place in range(N)],
            "origin": origin,
            "hour": random.integers(6, 9, N),
            "rare": [f"tail {place}" if place < 40 else None for place in range(N)],
        }
    )


def test_a_level_that_is_answered_worse_comes_first_with_its_reference() -> None:
    frame = answers()
    found = by_slice(frame, "log_loss", {"origin": 300, "hour": 300})
    assert found.columns == list(SCHEMA)
    worst = found.row(0, named=True)
    assert (worst["column"], worst["level"]) == ("origin", "LGA")
    known = frame.drop_nans("outcome").filter(origin="LGA")
    y, p = known["outcome"].to_numpy(), known["score"].to_numpy()
    assert worst["n"] == known.height
    assert worst["loss"] == pytest.approx(log_loss.evaluate(y, p).figures["log_loss"])
    assert worst["loss_low"] < worst["loss"] < worst["loss_high"]
    assert worst["scored_mean"] - worst["observed_mean"] == pytest.approx(0.35, abs=0.05)
    compared = known.drop_nulls("reference")
    assert worst["compared"] == compared.height < worst["n"]
    theirs = log_loss.evaluate(compared["outcome"].to_numpy(), compared["reference"].to_numpy())
    assert worst["reference_loss"] == pytest.approx(theirs.figures["log_loss"])
    assert 0.0 < worst["excess_low"] < worst["excess"] < worst["excess_high"]
    losses = found["loss"].to_list()
    assert losses == sorted(losses, reverse=True)


def test_levels_of_few_rows_come_last_without_figures() -> None:
    found = by_slice(answers(), "log_loss", {"rare": 300, "origin": 300})
    assert found.head(3)["level"].to_list() == ["LGA", "missing", "EWR"]
    few = found.filter(pl.col("loss").is_null())
    assert few.height == 35  # 40 tails, five of them without an outcome
    assert set(few["n"]) == {1}
    assert few["reference_loss"].null_count() == few["scored_mean"].null_count() == few.height


def test_few_blocks_have_no_interval_and_no_reference_no_excess() -> None:
    short = by_slice(answers(days=4), "log_loss", {"origin": 300})
    assert short["loss_low"].null_count() == 2
    assert short["excess"].null_count() == 0
    alone = by_slice(answers().with_columns(reference=pl.lit(None)), "log_loss", {"origin": 300})
    assert alone["compared"].to_list() == [0, 0]
    assert alone["excess"].null_count() == 2


def test_numbers_are_judged_by_their_errors() -> None:
    frame = answers().with_columns(outcome=pl.col("score") + 2.0)
    (first, _) = by_slice(frame, "mae", {"origin": 300}).iter_rows(named=True)
    assert first["loss"] == pytest.approx(2.0)


def test_nothing_known_is_nothing_judged_and_a_column_has_to_be_there() -> None:
    assert by_slice(answers().with_columns(outcome=pl.lit(None)), "log_loss", {"origin": 300}).height == 0
    with pytest.raises(ModelError, match="no column 'carrier'"):
        by_slice(answers(), "log_loss", {"carrier": 300})
