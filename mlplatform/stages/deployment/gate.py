"""The quality gate: on the test rows, which took no part in the choice, a winner may not be surely worse.

The champion rule chooses on the validation rows; a model that loses on the test rows what it gained there is
stopped here. It must not choose, nor read a figure from anywhere.
"""

from collections.abc import Mapping, Sequence

from mlplatform.stages.deployment.contract import Finding
from mlplatform.stages.evaluation.bootstrap import LEVEL
from mlplatform.stages.evaluation.grounds import surely
from mlplatform.stages.evaluation.judged import Candidate
from mlplatform.stages.evaluation.metrics import METRICS
from mlplatform.stages.evaluation.rule import Rule

REGRESSION, BASELINES, REFERENCES = "no_regression", "above_baselines", "references"
GATES = {
    REGRESSION: "On the test rows the winner is not surely worse than the present champion.",
    BASELINES: "On the test rows the winner is not surely worse than any model it has to beat.",
    REFERENCES: "On the test rows the winner reaches the figures reached elsewhere.",
}


def regression(rule: Rule, mine: Candidate, champion: Candidate | None) -> Finding:
    """Against the present champion; both with the test figures and draws in the place of the validation's."""
    if champion is None:
        return Finding(REGRESSION, True, "there is no champion yet")
    if champion.digest == mine.digest:
        return Finding(REGRESSION, True, "it is the present champion itself")
    passed, said = _compared(rule, mine, champion)
    return Finding(REGRESSION, passed, said)


def baselines(rule: Rule, mine: Candidate, others: Sequence[Candidate]) -> Finding:
    """Against the models the rule names."""
    compared = [_compared(rule, mine, other) for other in others if other.digest != mine.digest]
    return Finding(BASELINES, all(passed for passed, _ in compared), "; ".join(said for _, said in compared))


def references(mine: Candidate, reached: Mapping[str, Mapping[str, float]]) -> Finding:
    """Against figures reached elsewhere: a warning, for they may be of another kind of model."""
    missed = [
        f"{name} {mine.validation[name]:.4f}, {who} has {figure:.4f}"
        for who, figures in reached.items()
        for name, figure in figures.items()
        if name in METRICS and name in mine.validation
        if METRICS[name].gain(round(mine.validation[name], 4), over=figure) < 0.0
    ]
    said = "; ".join(missed) or (f"all {len(reached)} reached" if reached else "none is declared")
    return Finding(REFERENCES, not missed, said, blocks=False)


def _compared(rule: Rule, mine: Candidate, other: Candidate) -> tuple[bool, str]:
    """Worse is: a negative gain whose interval lies below 0, or that has no interval."""
    figure, theirs = mine.validation[rule.metric], other.validation[rule.metric]
    gain, ends = rule.gain(figure, theirs), surely(rule, mine, other, LEVEL)
    passed = gain >= 0.0 or (ends is not None and ends.high >= 0.0)
    span = f" ({ends.low:+.4f} to {ends.high:+.4f})" if ends else ""
    return passed, f"{rule.metric} {figure:.4f} against {other.model}'s {theirs:.4f}: gain {gain:+.4f}{span}"
