"""What a search gives: every trial with its figures, and the best parameters. It must not fit a model."""

from typing import Any, Literal

import msgspec

from mlplatform.stages.evaluation.metrics import metric_named
from mlplatform.stages.evaluation.search.space import placed

DECLARED = 0
"""Number of the trial of the declared parameters alone, which every search begins with."""


class Trial(msgspec.Struct, frozen=True):
    """One try.

    `params` is the point of the space (empty for the declared parameters); `figures` the metric on each fold
    that was judged: all of them if complete, the first ones if pruned, none if failed. `reason` says why it
    failed, or which trial it repeats.
    """

    number: int
    params: dict[str, Any]
    state: Literal["complete", "pruned", "failed"]
    figures: tuple[float, ...] = ()
    seconds: float = 0.0
    reason: str = ""

    @property
    def value(self) -> float | None:
        """Mean of the figures, each fold counting the same; None unless complete."""
        return mean(self.figures) if self.state == "complete" else None


class Found(msgspec.Struct, frozen=True):
    """A search that has ended, with at least one complete trial; `params` are the declared ones.

    `importance` is each searched parameter's share (together 1) in how the value varies over the space, by
    fANOVA (Hutter, Hoos & Leyton-Brown 2014); empty where too few trials are complete to tell.
    `minimum_gain`, in the metric's unit, is what declared parameters must be beaten by: the best of many
    trials is partly the luckiest.
    """

    metric: str
    params: dict[str, Any]
    trials: tuple[Trial, ...]
    importance: dict[str, float] = {}
    minimum_gain: float = 0.0

    @property
    def ranked(self) -> list[Trial]:
        """The complete trials, the best first; of equal ones the earlier first."""
        sign = -1.0 if metric_named(self.metric).higher_is_better else 1.0
        complete = [trial for trial in self.trials if trial.value is not None]
        return sorted(complete, key=lambda trial: sign * (trial.value or 0.0))

    @property
    def best(self) -> Trial:
        """The best trial: that of the declared parameters unless another is better by over `minimum_gain`."""
        first, declared = self.ranked[0], self.declared
        if first.value is None or declared.value is None:
            return first
        gain = metric_named(self.metric).gain(first.value, declared.value)
        return first if gain > self.minimum_gain else declared

    @property
    def declared(self) -> Trial:
        """The trial of the declared parameters."""
        return self.trials[DECLARED]

    @property
    def parameters(self) -> dict[str, Any]:
        """What to build the model with: the declared parameters with the best ones in their places."""
        return placed(self.params, self.best.params)

    @property
    def gain(self) -> float | None:
        """By how much the best is better than the declared parameters; None if those failed."""
        best, declared = self.best.value, self.declared.value
        if best is None or declared is None:
            return None
        return metric_named(self.metric).gain(best, declared)

    def count(self, state: str) -> int:
        """How many trials ended so, that of the declared parameters left out."""
        return sum(trial.state == state for trial in self.trials[1:])


def mean(figures: tuple[float, ...]) -> float:
    """Their mean; there must be one."""
    return sum(figures) / len(figures)


def told(trial: Trial, metric: str, folds: int) -> str:
    """A trial in one line, for a log."""
    point = ", ".join(f"{name} {short(value)}" for name, value in sorted(trial.params.items()))
    name = "declared parameters" if trial.number == DECLARED else f"trial {trial.number}"
    match trial.state:
        case "complete":
            said = f"{metric} {trial.value:.6g}"
        case "pruned":
            said = f"pruned after {len(trial.figures)} of {folds} folds, {metric} {mean(trial.figures):.6g}"
        case _:
            said = "failed"
    reason = f" ({trial.reason})" if trial.reason else ""
    return f"{name}: {said}{reason}{', ' if point else ''}{point}; {trial.seconds:.1f} s"


def short(value: object) -> str:
    """A value of a parameter, numbers to four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
