"""The search: tries points of a space on folds of training rows and keeps what each was worth.

It must not read a clock, store, or know a model: the clock and the model's `build` are given.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from mlplatform.errors import ConfigurationError, MlplatformError, ModelError
from mlplatform.stages.evaluation.metrics import Metric, metric_named
from mlplatform.stages.evaluation.search.folds import Fold
from mlplatform.stages.evaluation.search.found import DECLARED, Found, Trial, mean
from mlplatform.stages.evaluation.search.space import Space, placed
from mlplatform.stages.training.contract import Estimator

Build = Callable[..., Estimator]
Heard = Callable[[Trial], None]

_REFUSALS = (MlplatformError, ValueError, ArithmeticError, RuntimeError)
"""How a model refuses parameters, or fails with them; anything else is a mistake of the program."""


@dataclass(frozen=True)
class Plan:
    """How long to search (with a limit of seconds the result depends on the machine), and what is a gain."""

    trials: int = 40
    seed: int = 0
    seconds: float | None = None
    pruner: Literal["median", "halving", "none"] = "median"
    minimum_gain: float = 0.0


def search(
    folds: Sequence[Fold],
    build: Build,
    params: Mapping[str, Any],
    space: Space,
    metric: str,
    plan: Plan,
    *,
    clock: Callable[[], float],
    heard: Heard = lambda trial: None,
) -> Found:
    """Try the declared `params`, then `plan.trials` points of the space, by Optuna's seeded TPE sampler.

    A trial is worth the mean of the metric over the folds; one that is behind after a fold is given up. A
    point that was tried before is not fitted again. The same folds, plan and space give the same result, but
    for the seconds of each trial.

    Parameters
    ----------
    folds: of training rows (`folds.of_rows`, `folds.of_training_set`).
    build: of the model file; `params` and points of the space are its arguments.
    clock: seconds from any start, such as `time.perf_counter`. heard: is told each trial when it has ended.

    Raises
    ------
    ConfigurationError
        for a metric of another task, or an empty space.
    ModelError
        if every trial failed; it names the reasons.
    """
    judge = metric_named(metric, "the search")
    _check(folds, space, metric, judge)
    tries = _Tries(folds, build, params, judge, clock)
    started = clock()
    declared = tries.of(DECLARED, {}, lambda figure, fold: False)
    heard(declared)
    from mlplatform.stages.evaluation.search import _study

    with _study.quiet():
        study = _study.study(plan.seed, plan.trials, plan.pruner, higher_is_better=judge.higher_is_better)
        trials = [declared]
        points = _study.distributions(space)
        while len(trials) <= plan.trials and not _late(plan, clock() - started):
            trials.append(_next(study, points, tries, trials))
            heard(trials[-1])
        _check_any(trials)
        found = _study.importance(study)
        return Found(metric, dict(params), tuple(trials), found, plan.minimum_gain)


def _next(study: Any, points: Mapping[str, Any], tries: "_Tries", before: Sequence[Trial]) -> Trial:
    """The next point tried, or remembered, and the study told of it."""
    asked = study.ask(points)

    def behind(figure: float, fold: int) -> bool:
        asked.report(figure, fold)
        return bool(asked.should_prune())

    twin = next((trial for trial in before[1:] if trial.params == asked.params), None)
    if twin is None:
        trial = tries.of(len(before), dict(asked.params), behind)
    else:
        reason = twin.reason or f"as trial {twin.number}"
        trial = msgspec.structs.replace(twin, number=len(before), seconds=0.0, reason=reason)
        for fold in range(1, len(trial.figures) + 1):
            asked.report(mean(trial.figures[:fold]), fold)
    _tell(study, asked, trial)
    return trial


def _tell(study: Any, asked: Any, trial: Trial) -> None:
    from optuna.trial import TrialState

    states = {"pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
    if trial.value is None:
        study.tell(asked, state=states[trial.state])
    else:
        study.tell(asked, trial.value)


@dataclass(frozen=True)
class _Tries:
    """What every trial is made with."""

    folds: Sequence[Fold]
    build: Build
    params: Mapping[str, Any]
    judge: Metric
    clock: Callable[[], float]

    def of(self, number: int, point: dict[str, Any], behind: Callable[[float, int], bool]) -> Trial:
        """The trial of a point; `behind` is asked after each fold, with the mean so far and its number."""
        started = self.clock()
        figures: tuple[float, ...] = ()
        trial = Trial(number, point, "complete")
        try:
            estimator = self.build(**placed(self.params, point))
            for count, fold in enumerate(self.folds, start=1):
                figures = (*figures, self._figure(estimator, fold))
                if behind(mean(figures), count) and count < len(self.folds):
                    trial = msgspec.structs.replace(trial, state="pruned")
                    break
        except _REFUSALS as error:
            figures = ()
            trial = msgspec.structs.replace(trial, state="failed", reason=_reason(error))
        return msgspec.structs.replace(trial, figures=figures, seconds=self.clock() - started)

    def _figure(self, estimator: Estimator, fold: Fold) -> float:
        p = estimator.fit(fold.training).predict(fold.X)
        found = self.judge.figure(fold.y, p, {"X": fold.X})
        if found is None or not math.isfinite(found):
            raise ModelError(f"the metric is {found} on a fold of {len(fold.y)} rows.")
        return found


def _late(plan: Plan, seconds: float) -> bool:
    return plan.seconds is not None and seconds >= plan.seconds


def _check(folds: Sequence[Fold], space: Space, metric: str, judge: Metric) -> None:
    if not folds or not space:
        raise ConfigurationError(
            f"got {len(folds)} folds and {len(space)} parameters to search; allowed: at least one of each.",
            hint="Declare `search.space` with the parameters to search.",
        )
    wrong = sorted({fold.training.task for fold in folds} - set(judge.tasks))
    if wrong:
        raise ConfigurationError(
            f"the search judges {wrong[0]} by {metric}; allowed: a metric of {wrong[0]}.",
            hint="Set `search.metric` to one that judges this task.",
        )


def _check_any(trials: Sequence[Trial]) -> None:
    if any(trial.state == "complete" for trial in trials):
        return
    reasons = list(dict.fromkeys(trial.reason for trial in trials if trial.reason))
    raise ModelError(
        f"all {len(trials)} trials of the search failed, that of the declared parameters too: "
        f"{' | '.join(reasons[:3])}",
        hint="Correct `params`, narrow `search.space`, or give the search more rows.",
    )


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
