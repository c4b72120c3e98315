"""Answers: their JSON form, the class rule, and ids that depend on question, release and score alone."""

import math

import msgspec
import pytest

from mlplatform.stages.scoring.score import Answer, PredictionIds, is_positive

IDS = PredictionIds("orders", 3, "a" * 64)


def test_an_answer_is_flat_json_with_a_class() -> None:
    answer = Answer(
        prediction_id="p",
        use_case="orders",
        model="lightgbm",
        version=3,
        digest="d",
        feature_set="f@1",
        score=0.1 + 0.2,
        predicted=False,
        as_of=None,
    )
    written = msgspec.json.decode(msgspec.json.encode(answer))
    assert written["class"] is False
    assert written["score"] == 0.1 + 0.2
    assert list(written) == [
        *("prediction_id", "use_case", "model", "version", "digest", "feature_set", "score", "class", "as_of")
    ]


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
