"""What a use case declares of rollbacks: by which evidence a champion is taken back without a person.

It must not look at a score (verdict.py does) and must not act.
"""

import math
from typing import Literal

import msgspec

from mlplatform.errors import ConfigurationError
from mlplatform.stages.training.output import Kind

Loss = Literal["log_loss", "brier", "mae", "mse"]
LOSSES: dict[Kind, tuple[Loss, ...]] = {
    "probability": ("log_loss", "brier"),
    "number": ("mae", "mse"),
    "forecast": ("mae", "mse"),
}
"""Per kind of score the losses a verdict may use, the default first. Other kinds have no verdict."""
CALLED: dict[Loss, str] = {
    "log_loss": "log loss",
    "brier": "Brier score",
    "mae": "mean absolute error",
    "mse": "mean squared error",
}


class RollbackRule(msgspec.Struct, frozen=True, kw_only=True):
    """A version is worse if, at `confidence`, it is surely worse than its reference by more than a margin.

    It is rolled back when `windows` checks in a row say so, each with `minimum_new` new outcomes.

    Raises
    ------
    ConfigurationError
        if a number has no meaning.
    """

    metric: Loss | None = None
    """The loss of accuracy; None: the first of `LOSSES` for the kind of score."""
    margin: float = 0.01
    """Excess loss over the reference's, as a share of it, that is never acted on."""
    calibration_margin: float = 0.02
    """Excess calibration error that is never acted on: in probability, or in the reference's mean absolute
    errors for numbers."""
    confidence: float = 0.99
    """Level of the two-sided intervals; their lower end must be beyond the margin."""
    minimum: int = 300
    """Rows with an outcome below which nothing is said."""
    minimum_blocks: int = 4
    """Blocks (days, for calibration) with an outcome below which nothing is said: they, not rows, are
    independent."""
    minimum_days: int = 3
    """Different days (UTC) of questions below which nothing is said."""
    days_worse: float = 0.75
    """Share of these days on which the version must have the larger loss: one storm is no verdict."""
    days: float = 7.0
    """Only questions of the newest so many days are judged, so that a good past hides no bad present."""
    settle_hours: float = 6.0
    """Questions younger than this are not judged: outcomes that come early are no fair sample of all."""
    windows: int = 2
    """Checks in a row that must say worse."""
    minimum_new: int = 100
    """Outcomes (requests, for speed and errors) not seen before, without which a check does not count."""
    late_share: float = 0.05
    """Share of requests a version may be late for."""
    error_share: float = 0.01
    """Share of requests a version may fail for."""
    minimum_requests: int = 200
    """Requests below which nothing is said of speed and errors."""

    def __post_init__(self) -> None:
        for name in ("margin", "calibration_margin", "settle_hours"):
            self._number(name, 0.0, math.inf, "a finite number of at least 0")
        for name in ("late_share", "error_share", "days_worse"):
            self._number(name, 0.0, 1.0, "a number from 0 to 1")
        for name in ("minimum", "minimum_days", "windows", "minimum_new", "minimum_requests"):
            self._number(name, 1, math.inf, "a whole number of at least 1")
        self._number("minimum_blocks", 2, math.inf, "a whole number of at least 2")
        if not 0.5 <= self.confidence < 1.0:
            raise _wrong("confidence", self.confidence, "a number from 0.5 to below 1, such as 0.99")
        if not (math.isfinite(self.days) and self.days > 0.0):
            raise _wrong("days", self.days, "a finite number above 0")

    def loss(self, kind: Kind) -> Loss:
        """The loss for this kind of score.

        Raises
        ------
        ConfigurationError
            if the kind has no verdict, or another loss.
        """
        allowed = LOSSES.get(kind, ())
        if not allowed:
            raise ConfigurationError(
                f"scores of kind {kind!r} have no verdict; allowed: {', '.join(LOSSES)}.",
                hint="Leave the rollback rule of accuracy out for this use case; speed and errors have one.",
            )
        found = self.metric or allowed[0]
        if found not in allowed:
            raise _wrong("metric", found, f"for scores of kind {kind!r} one of {', '.join(allowed)}")
        return found

    def _number(self, name: str, low: float, high: float, allowed: str) -> None:
        value = getattr(self, name)
        if not (math.isfinite(value) and low <= value <= high):
            raise _wrong(name, value, allowed)


def _wrong(name: str, value: object, allowed: str) -> ConfigurationError:
    return ConfigurationError(
        f"the rollback rule has {name} = {value}; allowed: {allowed}.",
        hint="Correct it in the use case's rollback rule.",
    )
