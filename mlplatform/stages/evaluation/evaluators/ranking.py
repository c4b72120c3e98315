"""Ranking: whether the best alternatives of each group come first.

It must not compare scores of different groups: only the order within one counts.
"""

from mlplatform.stages.evaluation.checks import Groups, check_groups, check_worth
from mlplatform.stages.evaluation.evaluators._lists import K as K
from mlplatform.stages.evaluation.evaluators._lists import firsts, hits, listed, mean, ndcgs, regrets
from mlplatform.stages.evaluation.values import Evaluation, Floats, Line, Picture

TASKS = ("ranking",)
MOST_PLACES = 10
"""Places that the picture shows."""


def evaluate(y: Floats, p: Floats, groups: Groups, worth: Floats | None = None) -> Evaluation:
    """NDCG@5, hit rate@5 and @1, top-1 regret and what the first place is worth, each the mean over groups.

    NDCG@k = DCG@k / best DCG@k, DCG@k = sum over places i = 1..k of y_i / log2(i + 1) (Järvelin & Kekäläinen
    2002, doi:10.1145/582415.582418), alternatives of equal score at their mean over all orders (McSherry &
    Najork 2008). A hit is a best alternative within the first k places, equal scores counting against it.
    Regret is the best y of the group minus that of the first place.

    Parameters
    ----------
    y, p, groups : (n,) relevance >= 0 (more is better), score (higher comes first), id of the group
    worth : (n,) in people's unit, NaN where not known; without it, y is what a row is worth

    Returns
    -------
    Evaluation
        figures `hit_rate_at_1`, `hit_rate_at_5` in [0, 1], `top1_regret` in the unit of y, `groups`;
        `top1_mean`, the mean worth of the first place (of equal scores, their mean), in the unit of worth;
        `ndcg_at_5` in [0, 1] over the groups that hold a relevance above 0, if there is one; both by place
        as curves.

    Raises
    ------
    ModelError
        if relevances, scores, groups or worth cannot be judged.
    """
    check_groups(y, p, groups)
    if worth is not None:
        check_worth(y, worth)
    rows = listed(y, p, groups)
    rates = [float(hits(rows, k).mean()) for k in range(1, MOST_PLACES + 1)]
    gains = [gain for k in range(1, MOST_PLACES + 1) if (gain := mean(ndcgs(rows, k))) is not None]
    figures = {
        "groups": float(len(rows.starts)),
        "hit_rate_at_1": rates[0],
        f"hit_rate_at_{K}": rates[K - 1],
        "top1_regret": float(regrets(rows).mean()),
    }
    told = {f"ndcg_at_{K}": gains[K - 1]} if gains else {}
    first = mean(firsts(rows, y if worth is None else worth))
    told |= {} if first is None else {"top1_mean": first}
    return Evaluation({**figures, **told}, _picture(rates, gains))


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
