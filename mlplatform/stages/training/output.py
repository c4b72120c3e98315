"""What a use case answers: its task, and which rows form one ranked list or one forecast.

A score is always one number of one row. A ranked list is the rows of one question by score, a forecast the
rows of one series by time: so the same features, models and comparisons serve every kind. It is kept with the
candidate, for a server runs no code of the use case. It must not know a model.
"""

from typing import Literal, get_args

import msgspec

from mlplatform.errors import ConfigurationError
from mlplatform.stages.preparation.durations import microseconds
from mlplatform.stages.training.training_set import Task

Kind = Literal["probability", "number", "cluster", "ranked_list", "forecast"]

_KINDS: dict[Task, Kind] = {
    "classification": "probability",
    "regression": "number",
    "clustering": "cluster",
    "ranking": "ranked_list",
    "forecasting": "forecast",
}
MOST_STEPS = 1000
"""Steps of one forecast: as many as rows of one request."""


class Output(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a score is, and how rows belong together.

    Raises
    ------
    ConfigurationError
        if what the task needs is missing, or a number of steps is not allowed.
    """

    task: Task = "classification"
    by: tuple[str, ...] = ()
    """Facts of the spine: rows with equal values of these form one ranked list, or belong to one series."""
    time: str = ""
    """Forecasting: the fact that says of which moment a row's value is."""
    start: str = ""
    """Forecasting: the fact that says from which moment a forecast runs; its first value is of this one."""
    step: str = ""
    """Forecasting: from one value to the next, e.g. "1h"."""
    steps: int = 0
    """Forecasting: values of one forecast."""

    def __post_init__(self) -> None:
        if self.task == "ranking" and not self.by:
            raise ConfigurationError(
                "task ranking has no facts that form a list.", hint="Name them: lists: {by: [dest, day]}."
            )
        if self.task != "forecasting":
            return
        if not (self.time and self.start and self.step and 1 <= self.steps <= MOST_STEPS):
            raise ConfigurationError(
                f"task forecasting has time={self.time!r}, start={self.start!r}, step={self.step!r}, "
                f"steps={self.steps}; allowed: two facts, a duration, and 1 to {MOST_STEPS} steps.",
                hint="series: {by: airport, time: hour, start: made_at, step: 1h, steps: 24}",
            )
        microseconds(self.step)

    @property
    def kind(self) -> Kind:
        """The kind of score."""
        return _KINDS[self.task]

    @property
    def together(self) -> tuple[str, ...]:
        """The facts that are equal in the rows of one list or one forecast; none where rows stand alone."""
        return (*self.by, self.start) if self.task == "forecasting" else self.by

    @property
    def step_us(self) -> int:
        """One step in microseconds."""
        return microseconds(self.step)


KINDS: tuple[Kind, ...] = get_args(Kind)
