"""The lags of a forecast's rows: where they are, what fills a missing one, the seasonal naive forecast.

Lag 1 is the newest value known when the forecast was made, lag n the oldest; step 1 follows lag 1. It must
not fit. A row alone and rows together are the same values picked, so they agree to the bit.
"""

from collections.abc import Sequence

import numpy as np

from mlplatform.errors import ConfigurationError
from mlplatform.stages.training.contract import Floats
from mlplatform.stages.training.models._numbers import Index

UNKNOWN_STEP = 0
_FARTHEST = 1e9
"""Steps ahead beyond which a number is no step."""


def columns(kind: str, names: Sequence[str], prefix: str) -> tuple[int, ...]:
    """Places among `names` of `prefix`1, `prefix`2, … in this order, as far as there is no gap.

    Raises
    ------
    ConfigurationError
        if there is not even the first.
    """
    places = {name: place for place, name in enumerate(names)}
    found: list[int] = []
    while f"{prefix}{len(found) + 1}" in places:
        found.append(places[f"{prefix}{len(found) + 1}"])
    if not found:
        raise ConfigurationError(
            f"{kind}: got lags: {prefix!r}; the feature set has no {prefix}1: {', '.join(names)}.",
            hint=f"Declare the newest values of the series as the features {prefix}1, {prefix}2, …",
        )
    return tuple(found)


def check_enough(kind: str, found: int, needed: int, prefix: str) -> None:
    """ConfigurationError unless there are as many lags as `needed`."""
    if found < needed:
        raise ConfigurationError(
            f"{kind}: got {found} lags ({prefix}1 .. {prefix}{found}); at least {needed} are needed.",
            hint="Declare more lags, or choose a shorter season or lower orders.",
        )


def step_of(x: float) -> int:
    """The number of steps ahead; UNKNOWN_STEP for a missing one and for what is no whole number from 1."""
    return int(x) if 1.0 <= x <= _FARTHEST and x == int(x) else UNKNOWN_STEP


def steps_of(x: Floats) -> Index:
    """`step_of` each."""
    whole = (x >= 1.0) & (x <= _FARTHEST) & (x == np.floor(x))
    return np.where(whole, np.where(whole, x, 0.0).astype(np.intp), UNKNOWN_STEP)


def naive(lags: Sequence[float], step: int, season: int, mean: float) -> float:
    """The newest known value at the same place of the season; `mean` where there is none or no step."""
    if step == UNKNOWN_STEP:
        return mean
    for lag in lags[season - 1 - (step - 1) % season :: season]:
        if lag == lag:
            return lag
    return mean


def naives(lags: Floats, steps: Index, season: int, mean: float) -> Floats:
    """`naive` of each row (rows,), for lags (lags, rows)."""
    found = np.full(len(steps), np.nan)
    place = season - 1 - (steps - 1) % season
    for _ in range(0, len(lags), season):
        open_ = np.isnan(found) & (place < len(lags)) & (steps != UNKNOWN_STEP)
        rows = np.flatnonzero(open_)
        found[rows] = lags[place[rows], rows]
        place = place + season
    return np.where(np.isnan(found), mean, found)


def filled(lags: Sequence[float], season: int, mean: float) -> list[float]:
    """The lags, a missing one as that of the season before, of a later season, or `mean`."""
    count, total = len(lags), sum(lags)
    if total == total:
        return list(lags)
    earlier, later = list(lags), list(lags)
    for k in range(count - season - 1, -1, -1):
        if earlier[k] != earlier[k]:
            earlier[k] = earlier[k + season]
    for k in range(season, count):
        if later[k] != later[k]:
            later[k] = later[k - season]
    known = [old if old == old else new for old, new in zip(earlier, later, strict=True)]
    return [lag if lag == lag else mean for lag in known]


def all_filled(lags: Floats, season: int, mean: float) -> Floats:
    """`filled` for each row of lags (lags, rows)."""
    earlier, later = lags.copy(), lags.copy()
    for k in range(len(lags) - season - 1, -1, -1):
        earlier[k] = np.where(np.isnan(earlier[k]), earlier[k + season], earlier[k])
    for k in range(season, len(lags)):
        later[k] = np.where(np.isnan(later[k]), later[k - season], later[k])
    known = np.where(np.isnan(earlier), later, earlier)
    return np.where(np.isnan(known), mean, known)
