"""What an alert is: something that is wrong now, why, and what to do about it.

It must not keep or send anything.
"""

import math
import re
from datetime import UTC, datetime
from typing import Literal

import msgspec

from mlplatform.errors import ConfigurationError

Severity = Literal["info", "warning", "critical"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")
"""The least first."""
PLATFORM = "platform"
"""`use_case` of an alert that is about no single use case."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,200}", re.ASCII)


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong; while it is, it is one alert, however often it is seen.

    Raises
    ------
    ConfigurationError
        if a name is empty or too long, `use_case` or `kind` has other characters than letters, digits, _
        and -, the cause or the remedy is empty, or the time has no zone. Figures that are not finite
        are left out.
    """

    use_case: str
    """Name of the use case, or `PLATFORM`."""
    kind: str
    """What kind of trouble, such as `run-lost` or `accuracy-fell`."""
    subject: str
    """What has it, such as a version, an asset or a process; with use case and kind it names the alert."""
    severity: Severity
    cause: str
    """One plain sentence that a person can read."""
    remedy: str
    """What to do: a command, or where to look."""
    figures: dict[str, float] = {}
    at: datetime
    """When it was seen, UTC."""

    def __post_init__(self) -> None:
        for name, value in (("use_case", self.use_case), ("kind", self.kind)):
            if not _NAME.fullmatch(value):
                raise ConfigurationError(
                    f"got an alert with {name} {value[:100]!r}; allowed: 1 to 200 letters, digits, _ and -."
                )
        for name, text, most in (
            *(("subject", self.subject, 200), ("cause", self.cause, 4000), ("remedy", self.remedy, 4000)),
        ):
            if not 1 <= len(text) <= most:
                raise ConfigurationError(
                    f"got an alert whose {name} has {len(text)} characters; allowed: 1 to {most}."
                )
        if self.at.tzinfo is None:
            raise ConfigurationError(
                f"got an alert at {self.at.isoformat()} without a time zone; UTC is wanted.",
                hint="Use datetime.now(UTC), or the clock that is injected.",
            )
        msgspec.structs.force_setattr(self, "at", self.at.astimezone(UTC))
        finite = {name: float(value) for name, value in self.figures.items() if math.isfinite(value)}
        msgspec.structs.force_setattr(self, "figures", finite)

    def worse_than(self, other: "Alert") -> bool:
        """Whether its severity is above the other's."""
        return SEVERITIES.index(self.severity) > SEVERITIES.index(other.severity)


class AlertChange(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the history of alerts."""

    number: int
    """Counts all changes of a deployment from 1, without gaps."""
    action: Literal["raised", "worsened", "cleared"]
    alert: Alert
    """As it was said then; of a cleared one, as it was said last."""
    at: datetime
    why: str = ""
    """Why it was cleared."""
    repeats: int = 0
    """Of a cleared one: how often it was seen again while it was open."""


class OpenAlert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that was raised and not cleared."""

    alert: Alert
    """As it was said last."""
    number: int
    """Of the change that raised it."""
    since: datetime
    last_at: datetime
    repeats: int = 0
    """How often it was seen again since."""
