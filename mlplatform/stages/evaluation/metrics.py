"""The figures a rule may choose by: which way is better, and how each follows from some rows.

Calibration error is not one: a constant score is well calibrated. It must not refuse rows: where a figure is
not defined (one class only, a constant outcome) there is none.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mlplatform.errors import ConfigurationError
from mlplatform.stages.evaluation.evaluators._counts import area, average_precision, hits_and_false_alarms
from mlplatform.stages.evaluation.evaluators._losses import absolute, log_losses, squared
from mlplatform.stages.evaluation.values import Floats


class Metric(NamedTuple):
    """`of(y, p)` is the figure of rows (n,) with n > 0, or None where it is not defined."""

    task: str
    higher_is_better: bool
    of: Callable[[Floats, Floats], float | None]

    def gain(self, figure: float, over: float) -> float:
        """By how much `figure` is better than `over`; negative if it is worse."""
        return figure - over if self.higher_is_better else over - figure


def r2(total: float, squares: float, rows: float, lost: float) -> float | None:
    """1 - lost / spread, of the sums of outcome, its square and the squared errors; None without a spread."""
    spread = squares - total * total / rows
    # A constant outcome leaves a spread of rounding errors only.
    return None if spread <= 1e-12 * squares else 1.0 - lost / spread


def _mean(losses: Callable[[Floats, Floats], Floats]) -> Callable[[Floats, Floats], float]:
    return lambda y, p: float(losses(y, p).mean())


def _of_counts(figure: Callable[..., float]) -> Callable[[Floats, Floats], float | None]:
    return lambda y, p: figure(*hits_and_false_alarms(y, p)) if 0 < y.sum() < len(y) else None


def _rmse(y: Floats, p: Floats) -> float:
    return float(np.sqrt(squared(y, p).mean()))


def _r2(y: Floats, p: Floats) -> float | None:
    centred = y - y.mean()
    return r2(float(centred.sum()), float((centred**2).sum()), len(y), float(squared(y, p).sum()))


METRICS = {
    "log_loss": Metric("classification", False, _mean(log_losses)),
    "brier": Metric("classification", False, _mean(squared)),
    "roc_auc": Metric("classification", True, _of_counts(area)),
    "average_precision": Metric("classification", True, _of_counts(average_precision)),
    "rmse": Metric("regression", False, _rmse),
    "mae": Metric("regression", False, _mean(absolute)),
    "r2": Metric("regression", True, _r2),
}


def metric_named(name: str, where: str = "the champion rule") -> Metric:
    """The metric of that name; ConfigurationError, saying `where` it was named, if there is none."""
    if name not in METRICS:
        raise ConfigurationError(
            f"{where} names the metric {name!r}; allowed: {', '.join(METRICS)}.",
            hint="Correct the metric in the use case's champion rule.",
        )
    return METRICS[name]
