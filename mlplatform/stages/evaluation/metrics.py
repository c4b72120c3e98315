"""The figures a rule may choose by: which way is better, and how each follows from some rows.

Calibration error is not one: a constant score is well calibrated. Nor is `top1_mean`: regret orders models
alike, and which way a worth in people's unit is better is not known. It must not refuse rows: where a figure
is not defined (one class only, a constant outcome) there is none.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from mlplatform.errors import ConfigurationError
from mlplatform.stages.evaluation.checks import Groups
from mlplatform.stages.evaluation.evaluators import _lists
from mlplatform.stages.evaluation.evaluators._counts import area, average_precision, hits_and_false_alarms
from mlplatform.stages.evaluation.evaluators._losses import absolute, log_losses, squared
from mlplatform.stages.evaluation.evaluators._silhouettes import Places, sample, silhouettes
from mlplatform.stages.evaluation.values import Floats

_NUMBERS = ("regression", "forecasting")


class Metric(NamedTuple):
    """`of(y, p)` is the figure of rows (n,) with n > 0, or None where it is not defined.

    A metric that `asks` for more is given it by name after y and p, as evaluators are.
    """

    tasks: tuple[str, ...]
    higher_is_better: bool
    of: Callable[..., float | None]
    asks: tuple[str, ...] = ()

    @property
    def task(self) -> str:
        """The first of the tasks it judges."""
        return self.tasks[0]

    def figure(
        self, y: Floats, p: Floats, known: Mapping[str, object], rows: Places | None = None
    ) -> float | None:
        """`of` these rows (all of them unless told), with what it asks for among what is `known` per row.

        Raises
        ------
        ConfigurationError
            if it asks for what is not known.
        """
        lacking = [name for name in self.asks if known.get(name) is None]
        if lacking:
            raise ConfigurationError(
                f"the metric asks for {', '.join(lacking)}; known of these rows: "
                f"{', '.join(known) or 'labels and scores only'}.",
                hint="Choose a metric of labels and scores, or give what it asks for.",
            )
        asked = {name: np.asarray(known[name]) for name in self.asks}
        if rows is None:
            return self.of(y, p, **asked)
        return self.of(y[rows], p[rows], **{name: each[rows] for name, each in asked.items()})

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


def _ndcg(y: Floats, p: Floats, groups: Groups) -> float | None:
    return _lists.mean(_lists.ndcgs(_lists.listed(y, p, groups), _lists.K))


def _regret(y: Floats, p: Floats, groups: Groups) -> float:
    return float(_lists.regrets(_lists.listed(y, p, groups)).mean())


def _silhouette(y: Floats, p: Floats, X: Floats) -> float | None:
    kept = sample(p, X)
    return float(silhouettes(p[kept], X[kept]).mean()) if len(np.unique(p[kept])) > 1 else None


METRICS = {
    "log_loss": Metric(("classification",), False, _mean(log_losses)),
    "brier": Metric(("classification",), False, _mean(squared)),
    "roc_auc": Metric(("classification",), True, _of_counts(area)),
    "average_precision": Metric(("classification",), True, _of_counts(average_precision)),
    "rmse": Metric(_NUMBERS, False, _rmse),
    "mae": Metric(_NUMBERS, False, _mean(absolute)),
    "r2": Metric(_NUMBERS, True, _r2),
    f"ndcg_at_{_lists.K}": Metric(("ranking",), True, _ndcg, ("groups",)),
    "top1_regret": Metric(("ranking",), False, _regret, ("groups",)),
    "silhouette": Metric(("clustering",), True, _silhouette, ("X",)),
}

CHIEF: dict[str, tuple[str, ...]] = {
    "classification": ("roc_auc", "log_loss", "brier", "ece"),
    "regression": ("mae", "rmse", "r2"),
    "clustering": ("silhouette", "inertia"),
    "ranking": ("top1_mean", "top1_regret", "ndcg_at_5", "hit_rate_at_1"),
    "forecasting": ("mae", "rmse", "mase", "gain_over_naive"),
}
"""By task the figures that people look at first."""


def metric_named(name: str, where: str = "the champion rule") -> Metric:
    """The metric of that name; ConfigurationError, saying `where` it was named, if there is none."""
    if name not in METRICS:
        raise ConfigurationError(
            f"{where} names the metric {name!r}; allowed: {', '.join(METRICS)}.",
            hint="Correct the metric in the use case's champion rule.",
        )
    return METRICS[name]
