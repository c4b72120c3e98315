"""What each group's list is worth, best score first: its gain, its hits, its first place.

It must not take a mean: the evaluator takes one over all groups, intervals one over resampled days.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlplatform.stages.evaluation.checks import Groups
from mlplatform.stages.evaluation.values import Floats

K = 5
"""The places at the top that the figures are about."""
Places = NDArray[np.intp]


class Listed(NamedTuple):
    """Rows group by group, highest score first; `starts` are the places at which a group begins."""

    y: Floats
    expected: Floats
    """Mean relevance of the rows of the group with this score."""
    place: Places
    """Place in the group, from 0."""
    last_of_tie: Places
    """The last place in the group that has this score."""
    ideal: Floats
    """Relevances of the group, best first."""
    starts: Places
    order: Places
    """Where each of these rows was before."""


def listed(y: Floats, p: Floats, groups: Groups) -> Listed:
    """The rows (n,) in the order a model gives them."""
    names = np.unique(groups, return_inverse=True)[1]
    order, best = np.lexsort((-y, -p, names)), np.lexsort((-y, names))
    group, score, relevance = names[order], p[order], y[order]
    starts = np.flatnonzero(np.append(True, np.diff(group) != 0))
    begin = np.repeat(starts, np.diff(np.append(starts, len(y))))
    new = np.append(True, (np.diff(group) != 0) | (np.diff(score) != 0.0))
    ties = np.flatnonzero(new)
    sizes = np.diff(np.append(ties, len(y)))
    expected = np.repeat(np.add.reduceat(relevance, ties) / sizes, sizes)
    last = np.repeat(ties + sizes - 1, sizes)
    return Listed(relevance, expected, np.arange(len(y)) - begin, last - begin, y[best], starts, order)


def ndcgs(rows: Listed, k: int) -> Floats:
    """NDCG@k (groups,), NaN for a group without a relevance above 0."""
    weights = np.where(rows.place < k, 1.0 / np.log2(rows.place + 2.0), 0.0)
    got = np.add.reduceat(rows.expected * weights, rows.starts)
    best = np.add.reduceat(rows.ideal * weights, rows.starts)
    gains: Floats = np.divide(got, best, out=np.full(len(best), np.nan), where=best > 0.0)
    return gains


def hits(rows: Listed, k: int) -> Floats:
    """1 for each group (groups,) with a best alternative surely within the first k places, else 0."""
    best = np.maximum.reduceat(rows.y, rows.starts)
    sizes = np.diff(np.append(rows.starts, len(rows.y)))
    hit = (rows.y == np.repeat(best, sizes)) & (rows.last_of_tie < k)
    return np.logical_or.reduceat(hit, rows.starts).astype(np.float64)


def regrets(rows: Listed) -> Floats:
    """The best relevance of each group (groups,) less that of its first place."""
    lost: Floats = np.maximum.reduceat(rows.y, rows.starts) - rows.expected[rows.starts]
    return lost


def firsts(rows: Listed, worth: Floats) -> Floats:
    """What the first place of each group (groups,) is worth, given per row as it was before (n,).

    The mean over equal scores, of those whose worth is known; NaN where none is.
    """
    sizes = np.diff(np.append(rows.starts, len(rows.y)))
    leading = rows.place <= np.repeat(rows.last_of_tie[rows.starts], sizes)
    values = worth[rows.order]
    known = leading & ~np.isnan(values)
    sums = np.add.reduceat(np.where(known, values, 0.0), rows.starts)
    counts = np.add.reduceat(known.astype(np.float64), rows.starts)
    means: Floats = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0.0)
    return means


def mean(values: Floats) -> float | None:
    """Over the groups that have a value; None if none has."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None
