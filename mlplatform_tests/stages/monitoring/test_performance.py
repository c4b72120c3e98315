"""Performance per partition against scikit-learn, and with outcomes that are not there yet."""

import math

import numpy as np
import polars as pl
import pytest
from sklearn import metrics

from mlplatform.errors import ModelError
from mlplatform.stages.evaluation.pictures import draw
from mlplatform.stages.monitoring.performance import performance, picture


def scores(days: int = 5, rows: int = 300) -> pl.DataFrame:
    random = np.random.default_rng(5)
    p = np.round(random.beta(2, 5, days * rows), 2)
    return pl.DataFrame(
        {
            "partition_key": [f"2013-11-{1 + i % days:02}" for i in range(days * rows)],
            "score": p,
            "outcome": random.random(days * rows) < p,
        }
    )


def test_each_day_equals_scikit_learn() -> None:
    frame = scores()
    found = performance(frame)
    assert found["partition_key"].to_list() == [f"2013-11-0{i}" for i in range(1, 6)]
    for row in found.iter_rows(named=True):
        day = frame.filter(pl.col("partition_key") == row["partition_key"])
        y, p = day["outcome"].to_numpy(), day["score"].to_numpy()
        assert row["scored"] == row["n"] == 300
        assert row["mean_score"] == pytest.approx(p.mean(), abs=1e-12)
        assert row["observed_rate"] == pytest.approx(y.mean(), abs=1e-12)
        assert row["log_loss"] == pytest.approx(metrics.log_loss(y, p), abs=1e-9)
        assert row["brier"] == pytest.approx(metrics.brier_score_loss(y, p), abs=1e-12)
        assert row["roc_auc"] == pytest.approx(metrics.roc_auc_score(y, p), abs=1e-12)


def test_unknown_outcomes_count_as_scored_only() -> None:
    frame = pl.DataFrame(
        {
            "partition_key": ["a", "a", "a", "b"],
            "score": [0.2, 0.6, 0.9, 0.5],
            "outcome": [0.0, 1.0, None, math.nan],
        }
    )
    first, second = performance(frame).to_dicts()
    assert (first["scored"], first["n"], first["mean_score"], first["observed_rate"]) == (3, 2, 0.4, 0.5)
    assert first["roc_auc"] == 1.0
    assert (second["scored"], second["n"]) == (1, 0)
    assert second["mean_score"] is second["log_loss"] is second["roc_auc"] is None


def test_auc_of_one_class_is_null_not_a_number() -> None:
    frame = pl.DataFrame({"partition_key": ["a", "a"], "score": [0.0, 1.0], "outcome": [1, 1]})
    (row,) = performance(frame).to_dicts()
    assert row["roc_auc"] is None
    assert 0 < row["log_loss"] < 40


def test_no_rows_give_no_partitions() -> None:
    assert performance(scores()[:0]).height == 0


@pytest.mark.parametrize(
    ("score", "outcome", "said"),
    [
        (math.nan, 1.0, "1 of 2 rows with a score of nan"),
        (None, 1.0, "a score of None"),
        (1.1, 1.0, "a score of 1.1"),
        (0.5, 0.5, "an outcome of 0.5"),
    ],
)
def test_wrong_scores_and_outcomes_are_refused(score: float | None, outcome: float, said: str) -> None:
    frame = pl.DataFrame({"partition_key": ["a", "a"], "score": [0.1, score], "outcome": [0.0, outcome]})
    with pytest.raises(ModelError, match=said):
        performance(frame)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(ModelError, match="no column 'outcome' among the scores; got partition_key, score"):
        performance(scores().drop("outcome"))


@pytest.mark.parametrize("days", [1, 5, 28, 365])
def test_picture_shows_every_day_and_few_names(days: int) -> None:
    random = np.random.default_rng(1)
    late = random.beta(2, 6, days)
    frame = pl.DataFrame(
        {
            "partition_key": [f"{i // 40:03}" for i in range(days * 40)],
            "score": np.repeat(np.clip(late + 0.02, 0.0, 1.0), 40),
            "outcome": random.random(days * 40) < np.repeat(late, 40),
        }
    )
    found = picture(performance(frame))
    assert [line.label for line in found.lines] == ["mean score", "observed rate"]
    assert all(len(line.x) == days for line in found.lines)
    assert 1 <= len(found.ticks) <= 7
    assert len(draw(found)) < 40_000


def test_picture_leaves_out_days_without_outcomes() -> None:
    frame = pl.DataFrame({"partition_key": ["a", "b"], "score": [0.2, 0.3], "outcome": [1.0, None]})
    assert picture(performance(frame)).lines[0].y == (0.2,)
    assert draw(picture(performance(frame.filter(pl.col("outcome").is_null()))))
