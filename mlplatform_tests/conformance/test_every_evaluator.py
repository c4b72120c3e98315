"""One contract for every evaluator found in the folder, on every task it judges: a new file is tested."""

import math
from dataclasses import dataclass

import msgspec
import numpy as np
import pytest

from mlplatform import plugins
from mlplatform.errors import ModelError
from mlplatform.stages.evaluation import evaluators
from mlplatform.stages.evaluation.call import TASKS, call
from mlplatform.stages.evaluation.pictures import draw
from mlplatform.stages.evaluation.report import evaluate_all, overlay
from mlplatform.stages.evaluation.values import Evaluation
from mlplatform_tests.conformance import judged

NAMES = plugins.names(evaluators)
CASES = [(name, task) for name in NAMES for task in plugins.find(evaluators, name).TASKS]
DAMAGED = [(name, task, how) for name, task in CASES for how in judged.damaged(task)]


@dataclass(frozen=True)
class Judge:
    """One evaluator on one task."""

    name: str
    task: str

    def __call__(self, rows: judged.Rows) -> Evaluation:
        return call(self.name, plugins.find(evaluators, self.name), *rows)


@pytest.fixture(params=CASES, ids=lambda case: "-".join(case))
def judge(request: pytest.FixtureRequest) -> Judge:
    return Judge(*request.param)


def test_there_are_evaluators_for_every_task() -> None:
    assert {"roc", "precision_recall", "calibration", "log_loss", "confusion", "gain"} <= set(NAMES)
    assert {"regression_errors", "residuals", "silhouette", "ranking", "forecast_errors"} <= set(NAMES)
    assert {task for _, task in CASES} == set(TASKS)


def test_gives_named_finite_plain_figures(judge: Judge) -> None:
    said = judge(judged.rows(judge.task))
    assert isinstance(said, Evaluation)
    assert said.figures
    assert all(type(value) is float and math.isfinite(value) for value in said.figures.values())


def test_repeats_and_leaves_its_input_alone(judge: Judge) -> None:
    y, p, known = judged.rows(judge.task)
    kept = [value.copy() for value in (y, p, *known.values()) if isinstance(value, np.ndarray)]
    assert judge((y, p, known)) == judge((y, p, known))
    after = [value for value in (y, p, *known.values()) if isinstance(value, np.ndarray)]
    assert all(now.tobytes() == before.tobytes() for now, before in zip(after, kept, strict=True))


@pytest.mark.parametrize("count", [400, 5_000])
def test_the_order_of_the_rows_is_irrelevant(judge: Judge, count: int) -> None:
    rows = judged.rows(judge.task, count)
    assert judge(judged.shuffled(rows)).figures == pytest.approx(judge(rows).figures, rel=1e-9, abs=1e-9)


def test_a_perfect_and_a_constant_model_can_be_judged(judge: Judge) -> None:
    for rows in judged.extremes(judge.task):
        assert all(math.isfinite(value) for value in judge(rows).figures.values())


def test_two_rows_are_enough(judge: Judge) -> None:
    assert judge(judged.two(judge.task)).figures


@pytest.mark.parametrize(("name", "task", "how"), DAMAGED)
def test_refuses_damaged_rows_with_their_place(name: str, task: str, how: str) -> None:
    rows, said = judged.damaged(task)[how]
    with pytest.raises(ModelError, match=said) as refusal:
        Judge(name, task)(rows)
    assert refusal.value.hint


def test_its_picture_is_small_survives_json_and_can_be_drawn(judge: Judge) -> None:
    said = judge(judged.rows(judge.task, 50_000))
    encoded = msgspec.json.encode(said)
    assert len(encoded) < 20_000
    assert msgspec.json.decode(encoded, type=Evaluation) == said
    if said.picture is not None:
        assert len(draw(said.picture)) < 40_000
        assert len(draw(overlay({"validation": said.picture, "test": said.picture}))) < 40_000


@pytest.mark.parametrize("task", TASKS)
def test_all_of_a_task_make_one_report(task: str) -> None:
    y, p, known = judged.rows(task)
    names = [name for name, each in CASES if each == task]
    report = evaluate_all(names, y, p, known=known)
    assert report.figures["rows"] == 400.0
    assert set(report.pictures) <= set(names)
    assert ("base_rate" in report.figures) == (task == "classification")
