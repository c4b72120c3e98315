"""Ranking: whether the best alternatives of each group come first.

It must not compare scores of different groups: only the order within one counts.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlplatform.stages.evaluation.checks import Groups, check_groups
from mlplatform.stages.evaluation.values import Evaluation, Floats, Line, Picture

TASKS = ("ranking",)
K = 5
"""The places at the top that the figures are about."""
MOST_PLACES = 10
"""Places that the picture shows."""


def evaluate(y: Floats, p: Floats, groups: Groups) -> Evaluation:
    """NDCG@5, hit rate@5 and @1, and top-1 regret, each the mean over the groups.

    NDCG@k = DCG@k / best DCG@k, DCG@k = sum over places i = 1..k of y_i / log2(i + 1) (Järvelin & Kekäläinen
    2002, doi:10.1145/582415.582418), alternatives of equal score at their mean over all orders (McSherry &
    Najork 2008). A hit is a best alternative within the first k places, equal scores counting against it.
    Regret is the best y of the group minus that of the first place.

    Parameters
    ----------
    y, p, groups : (n,) relevance >= 0 (more is better), score (higher comes first), id of the group

    Returns
    -------
    Evaluation
        figures `hit_rate_at_1`, `hit_rate_at_5` in [0, 1], `top1_regret` in the unit of y, `groups`;
        `ndcg_at_5` in [0, 1] over the groups that hold a relevance above 0, if there is one; both by place
        as curves.

    Raises
    ------
    ModelError
        if relevances, scores or groups cannot be judged.
    """
    check_groups(y, p, groups)
    listed = _listed(y, p, groups)
    hits = [_hit_rate(listed, k) for k in range(1, MOST_PLACES + 1)]
    gains = [_ndcg(listed, k) for k in range(1, MOST_PLACES + 1)]
    best, first = np.maximum.reduceat(listed.y, listed.starts), listed.expected[listed.starts]
    figures = {
        "groups": float(len(listed.starts)),
        "hit_rate_at_1": hits[0],
        f"hit_rate_at_{K}": hits[K - 1],
        "top1_regret": float((best - first).mean()),
    }
    found = [gain for gain in gains if gain is not None]
    said = {f"ndcg_at_{K}": found[K - 1]} if found else {}
    return Evaluation({**figures, **said}, _picture(hits, found))


class _Listed(NamedTuple):
    """Rows group by group, highest score first; `starts` are the places at which a group begins."""

    y: Floats
    expected: Floats
    """Mean relevance of the rows of the group with this score."""
    place: NDArray[np.intp]
    """Place in the group, from 0."""
    last_of_tie: NDArray[np.intp]
    """The last place in the group that has this score."""
    ideal: Floats
    """Relevances of the group, best first."""
    starts: NDArray[np.intp]


def _listed(y: Floats, p: Floats, groups: Groups) -> _Listed:
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
    return _Listed(relevance, expected, np.arange(len(y)) - begin, last - begin, y[best], starts)


def _ndcg(rows: _Listed, k: int) -> float | None:
    weights = np.where(rows.place < k, 1.0 / np.log2(rows.place + 2.0), 0.0)
    got = np.add.reduceat(rows.expected * weights, rows.starts)
    best = np.add.reduceat(rows.ideal * weights, rows.starts)
    held = best > 0.0
    return float((got[held] / best[held]).mean()) if held.any() else None


def _hit_rate(rows: _Listed, k: int) -> float:
    best = np.maximum.reduceat(rows.y, rows.starts)
    sizes = np.diff(np.append(rows.starts, len(rows.y)))
    hit = (rows.y == np.repeat(best, sizes)) & (rows.last_of_tie < k)
    return float(np.logical_or.reduceat(hit, rows.starts).mean())


def _picture(hits: list[float], gains: list[float]) -> Picture:
    places = tuple(float(k) for k in range(1, MOST_PLACES + 1))
    lines = [Line("hit rate", places, tuple(hits), figure=f"@{K} {hits[K - 1]:.3f}", markers=True)]
    if gains:
        lines.append(Line("NDCG", places, tuple(gains), figure=f"@{K} {gains[K - 1]:.3f}", markers=True))
    return Picture(
        title="Ranking within groups, by place",
        x_label="places looked at",
        y_label="mean over the groups",
        lines=tuple(lines),
        limits=(1.0, float(MOST_PLACES), 0.0, 1.0),
    )
