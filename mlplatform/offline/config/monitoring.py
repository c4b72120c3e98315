"""The section `monitoring:` of defs.yaml: where outcomes come from, and what takes a champion back by itself.

It must not import Dagster.
"""

from typing import Any

from pydantic import Field, model_validator

from mlplatform.errors import ConfigurationError
from mlplatform.offline.config.section import SafeName, Section
from mlplatform.stages.monitoring.rollback_rule import Loss, RollbackRule

_DEFAULT = RollbackRule()


class Outcomes(Section):
    """What happened, by which answers are judged. Left out: the label of the table that questions are of."""

    data_set: SafeName | None = None
    """The cleaned data set that has the outcomes; None: the one of the questions."""
    key: list[str] = []
    """Its columns that tell which question an outcome is of, as many as the questions' key has and in their
    order; none: columns of the same names."""
    label: str | None = None
    """Its column with the outcome; None: the label's."""
    wait_days: float = Field(default=7.0, gt=0, le=3660)
    """How long after its question an outcome is waited for."""
    never: float | None = Field(default=None, allow_inf_nan=False)
    """What it counts as if it has not come by then, such as 0 for an order that was never returned; None:
    it stays unknown, and the answer is not judged."""


class Rollback(Section):
    """When a champion is taken back by itself; the defaults are measured (docs/decisions/0023)."""

    enabled: bool = True
    """false: verdicts are reached and alerts raised, but a person has to act."""
    metric: Loss | None = None
    margin: float = _DEFAULT.margin
    calibration_margin: float = _DEFAULT.calibration_margin
    confidence: float = _DEFAULT.confidence
    minimum: int = _DEFAULT.minimum
    minimum_blocks: int = _DEFAULT.minimum_blocks
    minimum_days: int = _DEFAULT.minimum_days
    days_worse: float = _DEFAULT.days_worse
    days: float = _DEFAULT.days
    settle_hours: float = _DEFAULT.settle_hours
    windows: int = _DEFAULT.windows
    minimum_new: int = _DEFAULT.minimum_new
    late_share: float = _DEFAULT.late_share
    error_share: float = _DEFAULT.error_share
    minimum_requests: int = _DEFAULT.minimum_requests

    @model_validator(mode="after")
    def _has_a_meaning(self) -> "Rollback":
        try:
            _ = self.rule
        except ConfigurationError as error:
            raise ValueError(f"{error} {error.hint}".strip()) from error
        return self

    @property
    def rule(self) -> RollbackRule:
        """The same as the verdicts take it."""
        return RollbackRule(**self.model_dump(exclude={"enabled"}))


class Monitoring(Section):
    """What is watched after deployment."""

    outcomes: Outcomes = Outcomes()
    rollback: Rollback = Rollback()

    @model_validator(mode="before")
    @classmethod
    def _switch(cls, told: Any) -> Any:
        """`rollback: false` watches without acting."""
        if isinstance(told, dict) and isinstance(told.get("rollback"), bool):
            return {**told, "rollback": {"enabled": told["rollback"]}}
        return told
