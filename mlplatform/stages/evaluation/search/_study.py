"""Optuna, kept quiet and in memory: the study that proposes points, and the rules that give up a trial.

Imported at the first search only: Optuna is not needed to score. It must not fit or judge a model. Steps are
folds, numbered from 1; what is reported at a step is the mean of the figures so far.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.pruners import BasePruner, NopPruner, SuccessiveHalvingPruner
from optuna.trial import TrialState

from mlplatform.stages.evaluation.search.space import Choice, Dimension, Space

RIVALS = 4
"""Complete trials without which no trial is given up."""
_RANDOM = 10
"""Points drawn by chance before the sampler models what it has seen, at most; a quarter of few trials."""


class Median(BasePruner):  # type: ignore[misc]
    """Gives a trial up that is worse so far than the median of the complete ones was at the same fold.

    Optuna's own compares the best mean a trial has had at any fold; as folds are of different difficulty, a
    trial that begins with an easy fold would never be given up.
    """

    def prune(self, study: Any, trial: Any) -> bool:
        """Whether to give up `trial`, after its last reported step."""
        step = trial.last_step
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        rivals = [each.intermediate_values[step] for each in complete if step in each.intermediate_values]
        if len(rivals) < RIVALS:
            return False
        value, middle = trial.intermediate_values[step], median(rivals)
        higher_is_better: bool = study.direction.name == "MAXIMIZE"
        return bool(value < middle if higher_is_better else value > middle)


PRUNERS = {
    "median": Median,
    "halving": lambda: SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
    "none": NopPruner,
}


@contextmanager
def quiet() -> Iterator[None]:
    """Optuna without its own log lines."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def study(seed: int, trials: int, pruner: str, *, higher_is_better: bool) -> Any:
    """A study in memory whose proposals follow from the seed and what it is told."""
    chance = max(2, min(_RANDOM, trials // 4))
    return optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=chance),
        pruner=PRUNERS[pruner](),
        direction="maximize" if higher_is_better else "minimize",
    )


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """The space as Optuna has it, by name: the order of the declaration is not to matter."""
    return {name: _distribution(space[name]) for name in sorted(space)}


def _distribution(dimension: Dimension) -> BaseDistribution:
    if isinstance(dimension, Choice):
        return CategoricalDistribution(dimension.values)
    kind = IntDistribution if dimension.whole else FloatDistribution
    return kind(dimension.low, dimension.high, log=dimension.log)


def importance(study: Any) -> dict[str, float]:
    """Each parameter's share in the variation of the value, the largest first; empty if there is too little.

    fANOVA with a fixed seed, because Optuna's default looks at the best tenth of the trials: one or two here.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < RIVALS or len({trial.value for trial in complete}) < 2:
        return {}
    found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    return {name: float(share) for name, share in found.items()}
