"""The quality gate: a model surely worse on the test rows is stopped, one that may be worse is not."""

import pytest

from mlplatform.stages.deployment import gate
from mlplatform.stages.evaluation.judged import Candidate
from mlplatform.stages.evaluation.rule import Rule

RULE = Rule(metric="log_loss", beat=("table",))
SPREAD = (-0.02, -0.01, 0.0, 0.01, 0.02) * 20


def judged(name: str, figure: float, draws: tuple[float, ...] = SPREAD) -> Candidate:
    """A candidate with its figure on the test rows; lower is better."""
    moved = {"log_loss": tuple(figure + draw for draw in draws)} if draws else {}
    return Candidate(name, name, {"log_loss": figure}, {}, moved)


MINE = judged("mine", 0.50)


@pytest.mark.parametrize(
    ("champion", "passed"),
    [
        (None, True),
        (MINE, True),
        (judged("worse", 0.60), True),
        (judged("surely better", 0.40), False),
        (judged("better without an interval", 0.49, ()), False),
        (judged("perhaps better", 0.499, SPREAD[::-1]), True),
    ],
    ids=lambda value: getattr(value, "model", str(value)),
)
def test_regression_against_the_champion(champion: Candidate | None, passed: bool) -> None:
    found = gate.regression(RULE, MINE, champion)
    assert (found.passed, found.blocks) == (passed, True)


def test_every_baseline_counts() -> None:
    found = gate.baselines(RULE, MINE, [judged("table", 0.6), judged("line", 0.4)])
    assert not found.passed
    assert "gain +0.1000" in found.said
    assert "gain -0.1000" in found.said
    assert gate.baselines(RULE, MINE, [judged("table", 0.6)]).passed


def test_references_only_warn() -> None:
    missed = gate.references(MINE, {"paper": {"log_loss": 0.45, "unknown": 1.0}, "old": {"log_loss": 0.7}})
    assert (missed.passed, missed.blocks) == (False, False)
    assert missed.said == "log_loss 0.5000, paper has 0.4500"
    assert gate.references(MINE, {"old": {"log_loss": 0.5}}).said == "all 1 reached"
