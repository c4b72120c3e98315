"""The rival that knows nothing: one score for all rows, the best there is in hindsight.

A rate table may do worse than its own overall rate when a season changes; then only this rival stops a model
that was trained on noise. It must not see a row: its figures follow from the rate of label 1.
"""

import math
from collections.abc import Callable

from mlplatform.errors import ConfigurationError
from mlplatform.stages.evaluation.judged import Candidate

NAME = "constant"
RATE = "base_rate"


def _entropy(rate: float) -> float:
    shares = (rate, 1.0 - rate)
    return -sum(share * math.log(share) for share in shares if share > 0.0)


FIGURES: dict[str, Callable[[float], float]] = {
    "log_loss": _entropy,
    "brier": lambda rate: rate * (1.0 - rate),
    "roc_auc": lambda rate: 0.5,
    "average_precision": lambda rate: rate,
}
"""Each metric of a constant score equal to the rate of label 1 among the rows."""


def constant(metric: str, like: Candidate) -> Candidate:
    """The constant on the rows that `like` was judged on, with draws if `like` has those of the rate.

    Raises
    ------
    ConfigurationError
        if the metric does not follow from the rate of label 1.
    """
    if metric not in FIGURES or RATE not in like.validation:
        raise ConfigurationError(
            f"the champion rule is to beat {NAME!r} by {metric}; allowed: {', '.join(FIGURES)}.",
            hint="It needs labels 0/1 and the figure base_rate; name a model to beat, or another metric.",
        )
    of = FIGURES[metric]
    kept = {name: like.validation[name] for name in ("rows", RATE) if name in like.validation}
    return Candidate(
        digest=NAME,
        model=NAME,
        validation={**kept, metric: of(like.validation[RATE])},
        test={metric: of(like.test[RATE])} if RATE in like.test else {},
        draws={metric: tuple(of(rate) for rate in like.draws[RATE])} if RATE in like.draws else {},
    )
