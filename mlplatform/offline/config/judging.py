"""Sections of `defs.yaml` about judging models: figures, slices, the champion rule, what to compare with."""

import difflib
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from mlplatform.errors import ConfigurationError
from mlplatform.offline.config.section import OneOrMore, SafeName, Section, plugin
from mlplatform.stages.evaluation import evaluators
from mlplatform.stages.evaluation.metrics import METRICS
from mlplatform.stages.evaluation.rule import Rule
from mlplatform.stages.evaluation.slices import MINIMUM_ROWS
from mlplatform.stages.monitoring.drift_null import LONGEST, SHORTEST
from mlplatform.stages.training.training_set import Task

EvaluatorName = Annotated[str, plugin(evaluators)]

EVALUATORS: dict[Task, list[str]] = {
    "classification": ["roc", "precision_recall", "calibration", "log_loss"],
    "regression": ["regression_errors", "residuals"],
    "clustering": ["silhouette"],
    "ranking": ["ranking"],
    "forecasting": ["forecast_errors", "residuals"],
}
"""Evaluators of a use case that names none."""


def _metric(name: str) -> str:
    if name not in METRICS:
        close = difflib.get_close_matches(name, METRICS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"got metric {name!r}; allowed: {', '.join(METRICS)}.{hint}")
    return name


Metric = Annotated[str, AfterValidator(_metric)]


class Champion(Section):
    """The rule that chooses, on the validation rows only."""

    metric: Metric = "log_loss"
    minimum_gain: float = Field(default=0.0, ge=0)
    """In the metric's unit, against every baseline and the present champion."""
    beat: Annotated[list[SafeName], OneOrMore, Field(min_length=1)] = ["rate_table"]
    """The baseline, or several: models of this use case, or `constant`, that every winner must beat."""
    confidence: float | None = Field(default=None, gt=0, lt=1)
    """Level at which the interval of the gain (whole days resampled) must lie above `surely_above`."""
    surely_above: float = Field(default=0.0, ge=0)
    slice_tolerance: float | None = Field(default=None, ge=0)
    """On no slice may a winner be worse by more than this than the present champion, or else the baseline."""
    max_calibration_error: float | None = Field(default=None, ge=0)
    """Largest `ece` that a winner may have."""
    highest_plausible: dict[Metric, float] = {}
    """A candidate beyond this is refused as a probable leak."""

    @property
    def rule(self) -> Rule:
        """This section as the champion rule."""
        told = self.model_dump() | {"beat": tuple(self.beat)}
        return Rule(**told)

    @model_validator(mode="after")
    def _meant(self) -> "Champion":
        try:
            _ = self.rule
        except ConfigurationError as error:
            raise ValueError(f"{error} {error.hint}".strip()) from error
        return self


def _column(value: Any) -> Any:
    """A slice written as its column's name."""
    return {"column": value} if isinstance(value, str) else value


class Slicing(Section):
    """A column whose levels are judged one by one; as text, only the column's name."""

    column: str
    """A key or a feature of the use case, or `month`, the month of the row's day."""
    min_rows: int = Field(default=MINIMUM_ROWS, ge=1)
    """A level with fewer rows has no figure."""


Slice = Annotated[Slicing, BeforeValidator(_column)]


class Drift(Section):
    """How long a window of drift is, and which features Evidently's report shows (own figures cover all)."""

    window_days: int = Field(default=14, ge=SHORTEST, le=LONGEST)
    """A month is cut into equal windows of about so many days."""
    report: list[str] = Field(default=[], max_length=15)


class Reference(Section):
    """A figure reached elsewhere on the same test rows, to compare with."""

    name: str
    figures: dict[str, float]
