"""What a demonstration replays, and when somebody makes which mistake in it. Pure values."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from mlplatform.errors import ConfigurationError

EARLIEST, LATEST = date(2013, 10, 1), date(2013, 12, 31)
USE_CASE = "flight_delay"
AT_LEAST = 14
"""Days below which there is no time for two mistakes and a training."""


@dataclass(frozen=True)
class Mistake:
    """A careless promotion, `after` so long from the first day on and once the one before was mended."""

    model: str
    after: timedelta
    why: str
    """What its author writes into the history."""


@dataclass(frozen=True)
class Plan:
    """A demonstration, from `first` to `last` (New York's days, both included)."""

    first: date
    last: date
    learned_from: date
    """First day that models learn from before the replay."""
    part: int
    """Days that validate a model, and days that test it."""
    train_every: int
    """Days of features after which the platform trains again, by itself."""
    mistakes: tuple[Mistake, ...]
    step: timedelta = timedelta(minutes=30)
    """Events and questions of so much time are sent together."""
    most_behind: int = 3
    """Days not ingested, or not looked at by monitoring, beyond which the replay waits."""

    @property
    def as_of(self) -> date:
        """Date of the first training: validation and test days end where the replay begins."""
        return self.first - timedelta(days=2 * self.part)

    @property
    def begin(self) -> datetime:
        """Where the replay begins: the evening before, when the first day's schedules become known."""
        return datetime.combine(self.first, time(), UTC) - timedelta(hours=3)

    @property
    def days(self) -> int:
        """How many days are replayed."""
        return (self.last - self.first).days + 1


def plan(first: date, last: date, *, quick: bool) -> Plan:
    """The whole demonstration, or a `quick` one: fewer days to learn from, and mistakes in quick succession.

    Raises
    ------
    ConfigurationError
        if there are fewer than `AT_LEAST` days, or other ones than of October to December 2013.
    """
    if not (EARLIEST <= first <= last <= LATEST and (last - first).days + 1 >= AT_LEAST):
        raise ConfigurationError(
            f"got days from {first} to {last}; allowed: at least {AT_LEAST} days of {EARLIEST} to {LATEST}.",
            hint="Leave --from and --to out for all of them.",
        )
    hasty, leaking = (
        (timedelta(days=1), timedelta(days=8)) if quick else (timedelta(days=6), timedelta(days=38))
    )
    return Plan(
        first=first,
        last=last,
        learned_from=first - timedelta(days=92) if quick else date(first.year, 1, 1),
        part=5 if quick else 14,
        train_every=13
        if quick
        else 28,  # not while a mistake is in use: it would be mended by a better model
        mistakes=(
            Mistake("hasty", hasty, "it trains in a second and looked fine on my laptop"),
            Mistake("leaking", leaking, "all its tests are green"),
        ),
        most_behind=2 if quick else 3,
    )
