"""Drift with a null distribution: is this window further from the reference than windows usually are?

Real data are never distributed as their reference: on flights every single day of weather lies far from the
half-year before. What can be said is whether a window lies further away than past windows of the same length
did. Scores and labels are columns like any other: name them among the numerical ones. Drift may start a
retraining; it must not roll anything back, for a changed world is no worse model.
"""

from collections.abc import Sequence
from datetime import date
from typing import Literal

import msgspec
import polars as pl

from mlplatform.errors import ConfigurationError, FeatureError
from mlplatform.stages.monitoring.drift import MINIMUM_ROWS, Drift, drift
from mlplatform.stages.monitoring.profiles import Profile

Measure = Literal["psi", "wasserstein", "jensen_shannon"]
SHORTEST, LONGEST = 7, 28
"""Days of a window: a week holds every weekday; beyond four weeks a season passes through it."""
MINIMUM_WINDOWS = 8
"""Past windows below which nothing is said: the current one is the furthest of nine by chance one time in
nine, and `FACTOR` has to make up for the rest."""
FACTOR = 1.5
LEAST = 0.02
"""A distance below this is no drift, however quiet the past was."""
SHARE = 0.1
"""Share of the columns that must have drifted for the data to have: of many columns a few always do."""


class NullDrift(msgspec.Struct, frozen=True, kw_only=True):
    """Drift of one column against what is usual for it; None where there is not enough to say."""

    feature: str
    measure: Measure
    distance: float | None
    null_median: float | None
    null_high: float | None
    """The largest distance of a past window."""
    windows: int
    """Past windows that have a distance."""
    drifted: bool | None

    @property
    def ratio(self) -> float | None:
        """How many times the furthest past window."""
        if self.distance is None or not self.null_high:
            return None
        return self.distance / self.null_high


class DriftSummary(msgspec.Struct, frozen=True, kw_only=True):
    """`drifted`: enough columns have; None where none has enough past. `sentence` names the furthest."""

    drifted: bool | None
    features: tuple[str, ...]
    """The drifted columns, the furthest beyond their past first."""
    sentence: str


def against_past(
    profiles: Sequence[Profile],
    current: pl.DataFrame,
    past: Sequence[pl.DataFrame],
    *,
    measure: Measure = "psi",
    factor: float = FACTOR,
    least: float = LEAST,
    minimum_windows: int = MINIMUM_WINDOWS,
    minimum_rows: int = MINIMUM_ROWS,
) -> tuple[NullDrift, ...]:
    """Drift of every profiled column of `current`, judged by the windows of the `past`.

    A column has drifted if its distance is above `least` and above `factor` times the largest distance of a
    past window. Columns that do not have the measure (Wasserstein is one of numbers, Jensen-Shannon one of
    categories) are judged by their PSI.

    Parameters
    ----------
    profiles : of the reference, from `profiles.profile`
    current, past : windows of equal length, from `cut`; each has the profiled columns

    Raises
    ------
    FeatureError
        as `drift`.
    """
    now = drift(profiles, current, minimum_rows=minimum_rows)
    then = [drift(profiles, window, minimum_rows=minimum_rows) for window in past]
    return tuple(
        _judged(each, [window[at] for window in then], measure, factor, least, minimum_windows)
        for at, each in enumerate(now)
    )


def cut(
    rows: pl.DataFrame, last: date, days: int, count: int, *, by: str = "partition_key"
) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """The window of `days` days that ends with `last`, and up to `count` before it, the newest first.

    Windows do not overlap; one without rows is left out.

    Parameters
    ----------
    rows : one row per observation; `by` is its day, a date or its ISO text

    Raises
    ------
    ConfigurationError
        if the window is shorter than 7 or longer than 28 days.
    FeatureError
        if there is no column of days.
    """
    if not SHORTEST <= days <= LONGEST:
        raise ConfigurationError(
            f"got drift windows of {days} days; allowed: {SHORTEST} to {LONGEST}.",
            hint="Shorter windows miss weekdays, longer ones hold a change of season.",
        )
    if by not in rows.columns:
        raise FeatureError(
            f"there is no column {by!r}; the frame has {', '.join(rows.columns) or 'none'}.",
            hint="Give the day of each row.",
        )
    day = pl.col(by) if rows[by].dtype == pl.Date else pl.col(by).cast(pl.String).str.to_date()
    age = (pl.lit(last) - day).dt.total_days()
    # One pass over the rows, however many windows there are.
    placed = rows.with_columns(_window=age.floordiv(days)).filter(pl.col("_window").is_between(0, count))
    found = {int(key[0]): frame for key, frame in placed.partition_by("_window", as_dict=True).items()}
    frames = {place: frame.drop("_window") for place, frame in found.items()}
    return frames.get(0, rows.clear()), [frames[place] for place in range(1, count + 1) if place in frames]


def summary(drifts: Sequence[NullDrift], *, share: float = SHARE, named: int = 3) -> DriftSummary:
    """All columns in one sentence, the `named` furthest beyond their past by name and figure.

    The data have drifted if at least `share` of the columns that can be judged have.
    """
    judged = [each for each in drifts if each.drifted is not None]
    if not judged:
        most = max((each.windows for each in drifts), default=0)
        return DriftSummary(
            drifted=None,
            features=(),
            sentence=f"nothing is said of drift: {most} past windows of enough rows, "
            f"{MINIMUM_WINDOWS} are needed.",
        )
    beyond = sorted((e for e in judged if e.drifted), key=lambda e: (-(e.ratio or 0.0), e.feature))
    if not beyond:
        return DriftSummary(
            drifted=False,
            features=(),
            sentence=f"none of {len(judged)} columns lies further from its reference than past windows did.",
        )
    shown = "; ".join(map(_figures, beyond[:named]))
    enough = len(beyond) >= share * len(judged)
    few = "" if enough else f", fewer than the {share:.0%} that would be drift of the data"
    return DriftSummary(
        drifted=enough,
        features=tuple(each.feature for each in beyond),
        sentence=f"{len(beyond)} of {len(judged)} columns lie further from their reference than past windows "
        f"did{few}: {shown}.",
    )


def _judged(
    now: Drift, then: Sequence[Drift], measure: Measure, factor: float, least: float, minimum_windows: int
) -> NullDrift:
    used: Measure = measure if _has(now, measure) else "psi"
    distance = getattr(now, used)
    past = sorted(value for each in then if (value := getattr(each, used)) is not None)
    enough = distance is not None and len(past) >= minimum_windows
    middle = len(past) // 2
    return NullDrift(
        feature=now.feature,
        measure=used,
        distance=distance,
        null_median=(past[middle] + past[-middle - 1]) / 2.0 if past else None,
        null_high=past[-1] if past else None,
        windows=len(past),
        drifted=(distance > least and distance > factor * past[-1]) if enough else None,
    )


def _has(found: Drift, measure: Measure) -> bool:
    """Whether columns of this kind have the measure, whatever this window has."""
    return measure == "psi" or (measure == "wasserstein") == (found.kind == "number")


def _figures(each: NullDrift) -> str:
    called = {"psi": "PSI", "wasserstein": "Wasserstein", "jensen_shannon": "Jensen-Shannon"}[each.measure]
    return (
        f"{each.feature} ({called} {each.distance:.3g}, past windows {each.null_median:.3g} "
        f"to {each.null_high:.3g})"
    )
