"""Drift figures: how far each column of the current data lies from its stored reference profile.

Distances, not p-values: at tens of thousands of rows every p-value says "drift". They must not raise an
alarm; whoever reads them compares with past windows of equal length.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from mlplatform.stages.evaluation.values import Bar, Line, Picture
from mlplatform.stages.monitoring.profiles import (
    CategoryProfile,
    NumberProfile,
    Profile,
    bin_counts,
    levels,
    present,
    profile,
    slice_means,
)

Counts = NDArray[np.int64]

MINIMUM_ROWS = 300
"""Below this many rows on either side a distance is None: chance alone lifts the PSI of 100 rows above 0.1 in
three cases of ten, that of 300 rows in one of two thousand (measured, normal data)."""
RULES_OF_THUMB = ((0.1, "0.1 some"), (0.25, "0.25 much"))
"""Bands for the PSI from credit scoring (Siddiqi 2006, Credit Risk Scorecards): habits, not tests."""


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """Drift of one column; a distance is None where too few rows, or no values, allow one.

    psi : population stability index over the profile's bins or levels, `missing` being one more
    wasserstein : for numbers, mean shift of the quantile function in reference standard deviations
    jensen_shannon : for categories, the distance (square root, base 2) in [0, 1], `missing` being a level
    missing_reference, missing_current : shares of missing values in [0, 1]
    """

    feature: str
    kind: str
    rows_reference: int
    rows_current: int
    missing_reference: float
    missing_current: float
    psi: float | None = None
    wasserstein: float | None = None
    jensen_shannon: float | None = None


def compare(
    reference: pl.DataFrame, current: pl.DataFrame, *, numerical: Sequence[str], categorical: Sequence[str]
) -> tuple[Drift, ...]:
    """Drift between two frames: profile the reference, then `drift`."""
    return drift(profile(reference, numerical=numerical, categorical=categorical), current)


def drift(
    profiles: Sequence[Profile], current: pl.DataFrame, *, minimum_rows: int = MINIMUM_ROWS
) -> tuple[Drift, ...]:
    """Drift of every profiled column, in the order of the profiles.

    Parameters
    ----------
    profiles : of the reference, from `profile`
    current : a frame with the profiled columns

    Raises
    ------
    FeatureError
        if a column is not there, is not of numbers, or holds an infinite value.
    """
    return tuple(
        _number_drift(each, current, minimum_rows)
        if isinstance(each, NumberProfile)
        else _category_drift(each, current, minimum_rows)
        for each in profiles
    )


def psi(reference: Counts, current: Counts) -> float:
    """Population stability index: sum over bins of (c - r) * ln(c / r) for the shares r and c of the bins.

    Half a row is added to every bin, (n_b + 1/2) / (n + B/2), so that an empty bin gives a large and finite
    term (Jeffreys' prior); bins empty on both sides are left out, B counts the others. It is the symmetrised
    Kullback-Leibler divergence (Jeffreys 1946), in nats.

    Parameters
    ----------
    reference, current : (B,) rows per bin
    """
    held = reference + current > 0
    r, c = reference[held] + 0.5, current[held] + 0.5
    r, c = r / r.sum(), c / c.sum()
    return float(np.sum((c - r) * np.log(c / r)))


def jensen_shannon(reference: Counts, current: Counts) -> float:
    """Jensen-Shannon distance between the shares of two count vectors, (B,) each; base 2, so in [0, 1].

    Source: Endres & Schindelin 2003, doi:10.1109/TIT.2003.813506 (the root of the divergence is a metric).
    """
    r, c = reference / reference.sum(), current / current.sum()
    middle = (r + c) / 2
    divergence = (_divergence(r, middle) + _divergence(c, middle)) / 2
    return float(np.sqrt(max(divergence, 0.0)))


def picture(drifts: Sequence[Drift], *, title: str = "Drift by feature", top: int = 20) -> Picture:
    """The `top` features of the largest PSI as sorted bars; features without one are left out."""
    ranked = sorted((-each.psi, each.feature) for each in drifts if each.psi is not None)[:top]
    return Picture(
        title=title,
        x_label="population stability index",
        bars=tuple(Bar(feature, -value, f"{-value:.3f}") for value, feature in ranked),
        references=tuple(Line(text, (at, at), (0.0, 1.0)) for at, text in RULES_OF_THUMB),
    )


def _number_drift(reference: NumberProfile, frame: pl.DataFrame, minimum_rows: int) -> Drift:
    ordered, missing = present(frame, reference.name)
    bare = _bare(reference, "number", frame.height, missing)
    if min(reference.rows, frame.height) < minimum_rows:
        return bare
    counts = np.append(bin_counts(ordered, reference.edges), missing)
    return msgspec.structs.replace(
        bare,
        psi=psi(np.array([*reference.counts, reference.missing]), counts),
        wasserstein=_wasserstein(reference, ordered, minimum_rows),
    )


def _wasserstein(reference: NumberProfile, ordered: NDArray[np.float64], minimum_rows: int) -> float | None:
    """First Wasserstein distance over the reference's standard deviation; None below the minimum of values.

    The mean absolute difference of the slice means: exact where the quantile functions do not cross within a
    slice, else a lower bound. A reference without spread has no unit to measure in: None.
    """
    if min(reference.rows - reference.missing, len(ordered)) < minimum_rows or reference.spread == 0.0:
        return None
    shift = np.abs(slice_means(ordered, len(reference.slices)) - np.asarray(reference.slices))
    return float(shift.mean() / reference.spread)


def _category_drift(reference: CategoryProfile, frame: pl.DataFrame, minimum_rows: int) -> Drift:
    found, missing = levels(frame, reference.name)
    bare = _bare(reference, "category", frame.height, missing)
    if min(reference.rows, frame.height) < minimum_rows:
        return bare
    rare = sum(n for level, n in found.items() if level in reference.rare)
    common = [found.get(level, 0) for level in reference.counts]
    new = sum(found.values()) - rare - sum(common)
    then = np.array([*reference.counts.values(), sum(reference.rare.values()), 0, reference.missing])
    now = np.array([*common, rare, new, missing])
    return msgspec.structs.replace(bare, psi=psi(then, now), jensen_shannon=jensen_shannon(then, now))


def _bare(reference: Profile, kind: str, rows: int, missing: int) -> Drift:
    return Drift(
        feature=reference.name,
        kind=kind,
        rows_reference=reference.rows,
        rows_current=rows,
        missing_reference=reference.missing / max(reference.rows, 1),
        missing_current=missing / max(rows, 1),
    )


def _divergence(share: NDArray[np.float64], middle: NDArray[np.float64]) -> float:
    held = share > 0
    return float(np.sum(share[held] * np.log2(share[held] / middle[held])))
