"""Which figures performance has for a kind of score, and how they are shown.

It must not compute a figure: `performance.py` and `outcomes.py` do.
"""

from typing import Any

import polars as pl

from mlplatform.errors import ConfigurationError
from mlplatform.stages.evaluation.values import Picture
from mlplatform.stages.monitoring import outcomes
from mlplatform.stages.monitoring.performance import performance
from mlplatform.stages.monitoring.performance import picture as of_probabilities
from mlplatform.stages.training.output import Output

_HEADLINES = {
    "probability": ("log_loss", "log loss"),
    "number": ("mae", "mean absolute error"),
    "forecast": ("mae", "mean absolute error"),
    "ranked_list": ("mean_score", "mean outcome of first places"),
}
_LINES = {
    "number": ("mean score", "mean outcome"),
    "forecast": ("mean forecast", "mean outcome"),
    "ranked_list": ("first places", "all alternatives"),
}


def by_day(output: Output, scored: pl.DataFrame) -> pl.DataFrame:
    """Figures per `partition_key` of scores joined with their outcomes, as the kind of score has them.

    Raises
    ------
    ConfigurationError
        for clusters, which have no outcome.
    ModelError
        as the functions of the kind.
    """
    match output.kind:
        case "probability":
            return performance(scored)
        case "number" | "forecast":
            return outcomes.numbers(scored)
        case "ranked_list":
            return outcomes.lists(scored, list(output.by))
        case "cluster":
            raise ConfigurationError(
                "clusters have no outcome to be judged by.", hint="Watch their shares among the scores."
            )


def headline(output: Output, days: pl.DataFrame) -> dict[str, Any]:
    """The chief figure over all days, each weighing as many outcomes as it has."""
    column, name = _HEADLINES[output.kind]
    known = int(days["n"].sum())
    return {name: round(float((days[column] * days["n"]).sum() / known), 4) if known else 0.0}


def picture(output: Output, days: pl.DataFrame, *, by: str, title: str) -> Picture:
    """Scores and outcomes over the days."""
    if output.kind == "probability":
        return of_probabilities(days, by=by, title=title)
    return outcomes.picture(days, _LINES[output.kind], by=by, title=title)
