"""What an evaluator asks for it gets by name; what is not known is refused before it runs."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mlplatform.errors import ConfigurationError
from mlplatform.stages.evaluation.call import asks_for
from mlplatform.stages.evaluation.report import evaluate_all

Y, P = np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.9, 0.8, 0.7, 0.1])
OWN = """
from mlplatform.stages.evaluation.values import Evaluation

TASKS = {tasks}

def evaluate(y, p{more}):
    return Evaluation({{"said": float({value})}})
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> "Own":
    monkeypatch.syspath_prepend(str(tmp_path))
    return Own(tmp_path / f"own_{abs(hash(request.node.name))}")


class Own:
    """Writes evaluators of one's own into a package that can be imported."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()

    def write(self, name: str, more: str, value: str, tasks: str = '("classification",)') -> str:
        text = OWN.format(more=more, value=value, tasks=tasks)
        (self._folder / f"{name}.py").write_text(text)
        return f"{self._folder.name}.{name}"


@pytest.mark.parametrize(
    ("more", "value", "expected"),
    [
        ("", "len(y)", 4.0),
        (", threshold", "threshold", 0.4),
        (", threshold=0.5", "threshold", 0.4),
        (", cost=3.0", "cost", 3.0),
        (", *, X, threshold", "X.sum() + threshold", 8.4),
        (", **other", "len(other)", 0.0),
    ],
)
def test_own_evaluators_get_what_they_name(own: Own, more: str, value: str, expected: float) -> None:
    known = {"X": np.ones((4, 2)), "threshold": 0.4}
    report = evaluate_all([own.write("mine", more, value)], Y, P, known=known)
    assert report.figures["said"] == pytest.approx(expected)


def test_what_is_not_known_is_refused_with_what_is() -> None:
    with pytest.raises(
        ConfigurationError, match="'ranking' asks for groups; known of these rows: X, threshold"
    ):
        evaluate_all(["ranking"], Y, P, known={"X": np.ones((4, 1)), "threshold": 0.5})
    with pytest.raises(ConfigurationError, match=r"'silhouette' asks for X; .* labels and scores only"):
        evaluate_all(["silhouette"], Y, P)


def test_evaluators_say_what_they_ask_for() -> None:
    assert asks_for("roc") == ()
    assert asks_for("confusion") == ("threshold",)
    assert asks_for("silhouette") == ("X",)
    assert asks_for("ranking") == ("groups", "worth")
    assert asks_for("forecast_errors") == ("steps", "naive")


def test_evaluators_of_two_tasks_are_refused() -> None:
    with pytest.raises(
        ConfigurationError, match=r"'regression_errors' judges regression, forecasting; .*: classification"
    ):
        evaluate_all(["roc", "regression_errors"], Y, P)


def test_one_of_one_s_own_may_judge_several_tasks_or_say_none(own: Own) -> None:
    both = own.write("both", "", "1", tasks='("classification", "regression")')
    numbers = np.array([3.0, 4.0, 5.0, 6.0])
    assert "base_rate" in evaluate_all([both, "roc"], Y, P).figures
    assert "base_rate" not in evaluate_all([both, "regression_errors"], numbers, numbers).figures
    unsaid = own.write("unsaid", "", "1", tasks="None\ndel TASKS")
    assert evaluate_all([unsaid, "regression_errors"], numbers, numbers).figures["said"] == 1.0


def test_days_give_draws_and_intervals() -> None:
    y, p = np.tile(Y, 20), np.tile(P, 20)
    days = pl.Series([f"day {n // 8}" for n in range(80)])
    report = evaluate_all(["roc", "log_loss"], y, p, days=days)
    assert set(report.draws) == {"base_rate", "log_loss", "brier", "roc_auc"}
    ends = report.interval("log_loss")
    assert ends is not None
    assert ends.low <= report.figures["log_loss"] <= ends.high
    assert report.interval("rows") is None
    assert evaluate_all(["roc"], y, p).draws == {}
