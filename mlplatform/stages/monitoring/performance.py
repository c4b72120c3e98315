"""Performance: what scores were worth once their outcomes are known, per day or other partition.

It must not wait for outcomes or fill them in: a score without one counts as scored, and in nothing else.
"""

import polars as pl

from mlplatform.errors import ModelError
from mlplatform.stages.evaluation.evaluators.log_loss import SMALLEST
from mlplatform.stages.evaluation.values import Line, Picture

MOST_TICKS, MOST_MARKERS = 7, 31


def performance(
    scored: pl.DataFrame, *, by: str = "partition_key", score: str = "score", outcome: str = "outcome"
) -> pl.DataFrame:
    """Figures per partition of scores joined with their outcomes.

    Parameters
    ----------
    scored : one row per score; `score` in [0, 1], `outcome` 0/1 (number or boolean), null or NaN if unknown

    Returns
    -------
    polars.DataFrame
        `by`, ascending, and: scored (rows), n (rows with an outcome), mean_score, observed_rate, log_loss
        (nats), brier over those rows (null where n = 0), roc_auc (null unless both outcomes occur).

    Raises
    ------
    ModelError
        if a column is missing, a score lies outside [0, 1], or an outcome is neither 0 nor 1.
    """
    rows = _rows(scored, by, score, outcome)
    positives, known = pl.col("y").sum(), pl.col("y").count()
    judged = rows.filter(pl.col("y").is_not_null()).with_columns(rank=pl.col("p").rank("average").over(by))
    figures = judged.group_by(by).agg(
        n=known.cast(pl.Int64),
        mean_score=pl.col("p").mean(),
        observed_rate=pl.col("y").mean(),
        log_loss=_log_loss().mean(),
        brier=((pl.col("p") - pl.col("y")) ** 2).mean(),
        roc_auc=_roc_auc(positives, known),
    )
    scores = rows.group_by(by).agg(scored=pl.len().cast(pl.Int64))
    joined = scores.join(figures, on=by, how="left", nulls_equal=True).sort(by)
    return joined.with_columns(pl.col("n").fill_null(0))


def picture(days: pl.DataFrame, *, by: str = "partition_key", title: str = "Score and outcome") -> Picture:
    """Mean score and observed rate over the partitions that have outcomes, from `performance`."""
    known = days.filter(pl.col("n") > 0).sort(by)
    at = tuple(float(index) for index in range(known.height))
    score, observed = (tuple(known[name].to_list()) for name in ("mean_score", "observed_rate"))
    step = max(1, -(-known.height // MOST_TICKS))
    names = known[by].cast(pl.String).to_list()
    return Picture(
        title=title,
        x_label="partition",
        y_label="share",
        lines=(
            Line("mean score", at, score, markers=known.height <= MOST_MARKERS),
            Line("observed rate", at, observed, markers=known.height <= MOST_MARKERS),
        ),
        ticks=tuple((float(index), names[index]) for index in range(0, known.height, step)),
        limits=_limits(known.height, score + observed),
        key="upper left",
    )


def _rows(scored: pl.DataFrame, by: str, score: str, outcome: str) -> pl.DataFrame:
    absent = [name for name in (by, score, outcome) if name not in scored.columns]
    if absent:
        raise ModelError(
            f"there is no column {absent[0]!r} among the scores; got {', '.join(scored.columns) or 'none'}.",
            hint="Join the scores with their outcomes first, or name the columns.",
        )
    p, y = pl.col(score).cast(pl.Float64), pl.col(outcome).cast(pl.Float64).fill_nan(None)
    rows = scored.select(by, p=p, y=y)
    # A null score compares to null and NaN counts as the greatest number: both must fail here.
    _refuse(rows, ~pl.col("p").is_between(0.0, 1.0).fill_null(False), "p", "a score", "a number from 0 to 1")
    _refuse(rows, ~pl.col("y").is_in([0.0, 1.0]), "y", "an outcome", "0, 1 or, while unknown, null")
    return rows


def _refuse(rows: pl.DataFrame, wrong: pl.Expr, column: str, what: str, allowed: str) -> None:
    bad = rows.filter(wrong)
    if bad.height:
        raise ModelError(
            f"got {bad.height} of {rows.height} rows with {what} of {bad[column][0]}; allowed is {allowed}.",
            hint="Scores that failed are not scores: leave them out, and count them as errors.",
        )


def _log_loss() -> pl.Expr:
    p = pl.col("p").clip(SMALLEST, 1.0 - SMALLEST)
    return -(pl.col("y") * p.log() + (1.0 - pl.col("y")) * (-p).log1p())


def _roc_auc(positives: pl.Expr, known: pl.Expr) -> pl.Expr:
    """By rank sums with ties at their mean rank (Mann-Whitney); null where one outcome does not occur."""
    pairs = positives * (known - positives)
    rank_sum = (pl.col("rank") * pl.col("y")).sum()
    return pl.when(pairs > 0).then((rank_sum - positives * (positives + 1.0) / 2.0) / pairs)


def _limits(days: int, shares: tuple[float, ...]) -> tuple[float, float, float, float]:
    top = min(1.0, 1.25 * max(shares, default=1.0))
    return 0.0, float(max(days - 1, 1)), 0.0, max(top, 0.01)
