"""Intervals of paired differences whose rows come in dependent blocks: the hours or days of the questions.

Two models are judged on the same rows, so what is common to both cancels; what is common to a block does
not make many rows of one. They must not know which model is whose.
"""

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mlplatform.stages.evaluation.bootstrap import SEED, resample
from mlplatform.stages.evaluation.evaluators.calibration import BINS
from mlplatform.stages.evaluation.values import Floats

Places = NDArray[np.intp]
DRAWS = 1000


class Excess(NamedTuple):
    """A figure of a version and of its reference, how far the first lies above, and that one's interval."""

    value: float
    reference: float
    excess: float
    low: float
    high: float


def relative(mine: Floats, theirs: Floats, blocks: pl.Series, confidence: float) -> Excess | None:
    """Mean loss of the version against that of the reference: (sum of mine - theirs) / (sum of theirs).

    The interval is that of a ratio of block sums, linearised: with D_b and L_b the sums over block b of the
    differences and of the reference's losses and r = sum D / sum L, the residuals e_b = D_b - r L_b give the
    variance B/(B-1) sum e_b^2 / (sum L)^2, and Student's t with B - 1 degrees of freedom gives the ends
    (Cochran 1977, Sampling Techniques, section 6.13 and chapter 9A; Cameron & Miller 2015 for few clusters).

    Parameters
    ----------
    mine, theirs : (n,) losses of the same rows
    blocks : (n,) the block of each row; at least two different ones

    Returns
    -------
    Excess or None
        None where the reference has no loss at all: nothing can be a share of it.
    """
    place, count = _places(blocks)
    ahead, base = np.bincount(place, mine - theirs, count), np.bincount(place, theirs, count)
    if base.sum() <= 0.0:
        return None
    ratio = float(ahead.sum() / base.sum())
    spread = math.sqrt(count / (count - 1) * float(np.sum((ahead - ratio * base) ** 2))) / float(base.sum())
    reach = student(confidence, count - 1) * spread
    return Excess(float(mine.mean()), float(theirs.mean()), ratio, ratio - reach, ratio + reach)


def calibration_error(p: Floats, q: Floats, y: Floats, blocks: pl.Series, confidence: float) -> Excess:
    """Expected calibration error (15 equal-width bins) of scores p minus that of scores q.

    Noise lifts both errors alike, so it cancels in the difference. The spread is that of 1,000 drawings of
    whole blocks, the same for both, widened for few blocks by B/(B-1) and Student's t.

    Parameters
    ----------
    p, q, y : (n,) probabilities of the version and of the reference, and labels 0/1
    """
    drawn = resample(blocks, DRAWS, SEED)
    count = drawn.weights.shape[1]
    gaps = [_binned(each, y, drawn.place, count) for each in (p, q)]
    found = [float(np.abs(each.sum(axis=0)).sum()) / len(y) for each in gaps]
    rows = drawn.weights @ np.bincount(drawn.place, minlength=count)
    errors = [np.abs(drawn.weights @ each).sum(axis=1) / rows for each in gaps]
    spread = float(np.std(errors[0] - errors[1], ddof=1)) * math.sqrt(count / (count - 1))
    reach = student(confidence, count - 1) * spread
    excess = found[0] - found[1]
    return Excess(found[0], found[1], excess, excess - reach, excess + reach)


def bias(p: Floats, q: Floats, y: Floats, blocks: pl.Series, confidence: float) -> Excess | None:
    """|mean error| of numbers p minus that of numbers q, both in mean absolute errors of q.

    Drawn as in `calibration_error`. None where q makes no error.
    """
    unit = float(np.abs(q - y).mean())
    if unit == 0.0:
        return None
    drawn = resample(blocks, DRAWS, SEED)
    count = drawn.weights.shape[1]
    sums = [np.bincount(drawn.place, each - y, count) for each in (p, q)]
    rows = drawn.weights @ np.bincount(drawn.place, minlength=count)
    found = [abs(float(each.sum())) / len(y) / unit for each in sums]
    errors = [np.abs(drawn.weights @ each) / rows / unit for each in sums]
    spread = float(np.std(errors[0] - errors[1], ddof=1)) * math.sqrt(count / (count - 1))
    reach = student(confidence, count - 1) * spread
    excess = found[0] - found[1]
    return Excess(found[0], found[1], excess, excess - reach, excess + reach)


def student(confidence: float, degrees: int) -> float:
    """The number t such that Student's distribution has `confidence` between -t and t.

    Hill 1970, Algorithm 396 (Communications of the ACM 13:619), good to six digits; written out, for scipy
    takes a second to import.

    Parameters
    ----------
    confidence : in (0, 1)
    degrees : of freedom, at least 1
    """
    beyond = 1.0 - confidence
    if degrees == 1:
        return 1.0 / math.tan(beyond * math.pi / 2.0)
    if degrees == 2:
        return math.sqrt(2.0 / (beyond * (2.0 - beyond)) - 2.0)
    a = 1.0 / (degrees - 0.5)
    b = 48.0 / (a * a)
    c = ((20700.0 * a / b - 98.0) * a - 16.0) * a + 96.36
    d = ((94.5 / (b + c) - 3.0) / b + 1.0) * math.sqrt(a * math.pi / 2.0) * degrees
    y = math.pow(d * beyond, 2.0 / degrees)
    if y > 0.05 + a:
        x = NormalDist().inv_cdf(0.5 * beyond)
        y = x * x
        c += 0.3 * (degrees - 4.5) * (x + 0.6) if degrees < 5 else 0.0
        c = (((0.05 * d * x - 5.0) * x - 7.0) * x - 2.0) * x + b + c
        y = math.expm1(a * ((((((0.4 * y + 6.3) * y + 36.0) * y + 94.5) / c - y - 3.0) / b + 1.0) * x) ** 2)
    else:
        last = 1.0 / (((degrees + 6.0) / (degrees * y) - 0.089 * d - 0.822) * (degrees + 2.0) * 3.0)
        y = ((last + 0.5 / (degrees + 4.0)) * y - 1.0) * (degrees + 1.0) / (degrees + 2.0) + 1.0 / y
    return math.sqrt(degrees * y)


def _places(blocks: pl.Series) -> tuple[Places, int]:
    known = blocks.unique().sort()
    return known.search_sorted(blocks).to_numpy().astype(np.intp), len(known)


def _binned(p: Floats, y: Floats, place: Places, count: int) -> Floats:
    """Sum of score - outcome per block and bin of the score: (blocks, bins)."""
    bins = np.searchsorted(np.arange(1, BINS) / BINS, p, side="right")
    sums = np.bincount(place * BINS + bins, p - y, count * BINS)
    return np.asarray(sums.reshape(count, BINS))
