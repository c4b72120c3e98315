"""Answers: their JSON form, the class rule, and ids that depend on question, release and score alone."""

import math
from datetime import UTC, datetime

import msgspec
import numpy as np
import polars as pl
import pytest

from mlplatform.stages.scoring.score import Answer, PredictionIds, answered, is_positive, places
from mlplatform.stages.training.output import Output

IDS = PredictionIds("orders", 3, "a" * 64)


def test_an_answer_is_flat_json_with_a_class() -> None:
    answer = Answer(
        prediction_id="p",
        use_case="orders",
        model="lightgbm",
        version=3,
        digest="d",
        feature_set="f@1",
        kind="probability",
        score=0.1 + 0.2,
        predicted=False,
        as_of=None,
    )
    written = msgspec.json.decode(msgspec.json.encode(answer))
    assert written["class"] is False
    assert written["score"] == 0.1 + 0.2
    first = ["prediction_id", "use_case", "model", "version", "digest", "feature_set"]
    assert list(written) == [*first, "kind", "score", "class", "as_of", "link", "features_age_s"]


def test_ranks_give_equal_scores_to_the_earlier() -> None:
    assert places([0.5, 0.9, 0.5, -1.0]) == [2, 1, 3, 4]
    assert places([]) == []


def test_columns_of_each_kind() -> None:
    hour = [datetime(2024, 1, 1, h, tzinfo=UTC) for h in (0, 1, 2)]
    rows = pl.DataFrame({"of": ["a", "a", "b"], "made": [hour[0]] * 3, "hour": hour})
    scores = np.array([0.2, 2.0, 1.0])
    probability = answered(rows, Output(), scores, 0.5)
    assert probability["class"].to_list() == [False, True, True]
    assert answered(rows, Output("regression"), scores, 0.5).columns == [*rows.columns, "score"]
    assert answered(rows, Output("clustering"), np.array([0.0, 2.0, 1.0]), 0.5)["cluster"].to_list() == [
        0,
        2,
        1,
    ]
    assert answered(rows, Output("ranking", ("of",)), scores, 0.5)["rank"].to_list() == [2, 1, 1]
    forecast = Output("forecasting", (), "hour", "made", "1h", 3)
    assert answered(rows, forecast, scores, 0.5)["step"].to_list() == [1, 2, 3]


@pytest.mark.parametrize(("score", "positive"), [(0.5, True), (math.nextafter(0.5, 0), False), (1.0, True)])
def test_the_class_begins_at_the_threshold(score: float, positive: bool) -> None:
    assert is_positive(score) is positive


def test_another_threshold_moves_the_class() -> None:
    assert is_positive(0.3, 0.25)
    assert not is_positive(0.6, 0.7)


def test_the_same_answer_to_the_same_question_has_the_same_id() -> None:
    again = PredictionIds("orders", 3, "a" * 64)
    assert IDS.of(("x", 1, None), 0.25) == again.of(("x", 1, None), 0.25)
    assert len(IDS.of((), 0.0)) == 32


@pytest.mark.parametrize(
    "other",
    [
        IDS.of(("x", 2), 0.25),
        IDS.of(("x", "1"), 0.25),
        IDS.of(("x1",), 0.25),
        IDS.of(("x", 1), math.nextafter(0.25, 1)),
        PredictionIds("orders", 4, "a" * 64).of(("x", 1), 0.25),
        PredictionIds("orders", 3, "b" * 64).of(("x", 1), 0.25),
        PredictionIds("others", 3, "a" * 64).of(("x", 1), 0.25),
    ],
)
def test_any_difference_gives_another_id(other: str) -> None:
    assert other != IDS.of(("x", 1), 0.25)
