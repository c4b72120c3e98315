"""The vectors of answers as columns again, and how their scores spread beside those of the training.

A vector is what the model saw: categories are codes in it. It must not read a store, nor judge a distance.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from mlplatform.errors import FeatureError
from mlplatform.stages.evaluation.values import Floats
from mlplatform.stages.monitoring.profiles import NumberProfile
from mlplatform.stages.preparation.fitted import UNKNOWN, FittedFeatureSet

UNKNOWN_LEVEL = "unknown"
"""How a category is called that the training rows do not have."""
BINS = 20
_OUTER = 0.005
"""Share of the scores on either side that has no bins of its own: one strange score must not flatten all."""


def decoded(fitted: FittedFeatureSet, matrix: Floats, names: Sequence[str] | None = None) -> pl.DataFrame:
    """Columns of a matrix: categories as text, everything else as Float64; null is missing.

    Parameters
    ----------
    matrix : (n, features) in the order of the fitted set
    names : of the features that are wanted; None: all

    Raises
    ------
    FeatureError
        if the matrix is of another feature set.
    """
    if matrix.ndim != 2 or matrix.shape[1] != len(fitted.names):
        raise FeatureError(
            f"got vectors of shape {matrix.shape}; those of {fitted.id} have {len(fitted.names)} values.",
            hint="Take the candidate that gave these answers.",
        )
    places = {name: place for place, name in enumerate(fitted.names)}
    wanted = fitted.names if names is None else names
    return pl.DataFrame([column_of(fitted, name, matrix[:, places[name]]) for name in wanted])


def column_of(fitted: FittedFeatureSet, name: str, values: Floats) -> pl.Series:
    """One feature out of its (n,) encoded values; a code without a level is missing."""
    if name not in fitted.levels:
        return pl.Series(name, values).fill_nan(None)
    levels = {float(code): level for code, level in enumerate(fitted.levels[name])}
    levels[float(UNKNOWN)] = UNKNOWN_LEVEL
    return pl.Series(name, [levels.get(code) for code in values.tolist()], dtype=pl.String)


def histogram(reference: NumberProfile, scores: Floats, bins: int = BINS) -> pl.DataFrame:
    """Shares of scores per bin of equal width, beside those of a reference.

    The reference's are those of its 200 slices, so they are exact to half a percent. Ends are open: the first
    and the last bin hold what lies beyond them.

    Parameters
    ----------
    scores : (n,) finite, at least one

    Returns
    -------
    polars.DataFrame
        low, high (of the bin), served, reference (shares in [0, 1]; 0 throughout for a reference without
        values)
    """
    slices = np.asarray(reference.slices)
    both = np.concatenate(
        [np.quantile(each, [_OUTER, 1.0 - _OUTER]) for each in (slices, scores) if len(each)]
    )
    low, high = float(both.min()), float(both.max())
    if low >= 0.0 and high <= 1.0 and high - low > 0.1:
        low, high = 0.0, 1.0  # probabilities are read on their own scale
    if high - low < 1e-9 * max(1.0, abs(low)):  # constant, but for rounding
        low, high = low - 0.5, low + 0.5
    edges = np.linspace(low, high, bins + 1)
    shares = {
        name: _counts(each, edges) / max(len(each), 1)
        for name, each in (("served", scores), ("reference", slices))
    }
    return pl.DataFrame({"low": edges[:-1], "high": edges[1:], **shares})


def _counts(values: Floats, edges: Floats) -> Floats:
    place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    return np.bincount(place, minlength=len(edges) - 1).astype(np.float64)
