"""One contract for every evaluator found in the folder: a new file is tested by being there."""

import math

import msgspec
import numpy as np
import pytest

from mlplatform import plugins
from mlplatform.errors import ModelError
from mlplatform.stages.evaluation import evaluators
from mlplatform.stages.evaluation.pictures import draw
from mlplatform.stages.evaluation.values import Evaluation, Floats

NAMES = plugins.names(evaluators)


def data(rows: int = 400) -> tuple[Floats, Floats]:
    random = np.random.default_rng(3)
    p = np.round(random.beta(2, 5, rows), 3)
    return (random.random(rows) < p).astype(np.float64), p


@pytest.fixture(params=NAMES)
def evaluate(request: pytest.FixtureRequest):
    return plugins.find(evaluators, request.param).evaluate


def test_there_are_evaluators() -> None:
    assert {"roc", "precision_recall", "calibration", "log_loss"} <= set(NAMES)


def test_gives_named_finite_plain_figures(evaluate) -> None:
    said = evaluate(*data())
    assert isinstance(said, Evaluation)
    assert said.figures
    assert all(type(value) is float and math.isfinite(value) for value in said.figures.values())


def test_repeats_and_leaves_its_input_alone(evaluate) -> None:
    y, p = data()
    kept = y.copy(), p.copy()
    assert evaluate(y, p) == evaluate(y, p)
    assert np.array_equal(y, kept[0])
    assert np.array_equal(p, kept[1])


def test_a_perfect_score_and_a_constant_can_be_judged(evaluate) -> None:
    y, p = data()
    for score in (y, np.full_like(p, 0.3)):
        assert all(math.isfinite(value) for value in evaluate(y, score).figures.values())


def test_two_rows_are_enough(evaluate) -> None:
    assert evaluate(np.array([0.0, 1.0]), np.array([0.4, 0.6])).figures


@pytest.mark.parametrize("bad", [math.nan, math.inf, -0.01, 1.01])
def test_refuses_a_score_that_is_no_probability(evaluate, bad: float) -> None:
    y, p = data()
    p[5] = bad
    with pytest.raises(ModelError, match="row 5"):
        evaluate(y, p)


def test_refuses_one_class_and_unequal_lengths(evaluate) -> None:
    y, p = data()
    with pytest.raises(ModelError, match="both classes"):
        evaluate(np.zeros_like(y), p)
    with pytest.raises(ModelError, match="equal length"):
        evaluate(y[1:], p)


def test_its_picture_is_small_survives_json_and_can_be_drawn(evaluate) -> None:
    said = evaluate(*data(50_000))
    encoded = msgspec.json.encode(said)
    assert len(encoded) < 20_000
    assert msgspec.json.decode(encoded, type=Evaluation) == said
    if said.picture is not None:
        assert len(draw(said.picture)) < 40_000
