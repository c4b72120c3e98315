"""Performance where scores are numbers or ranks: what they were worth once their outcomes are known.

`performance.py` does the same for probabilities. It must not wait for outcomes or fill them in: a score
without one counts as scored, and in nothing else.
"""

import polars as pl

from mlplatform.errors import ModelError
from mlplatform.stages.evaluation.values import Line, Picture
from mlplatform.stages.monitoring.performance import MOST_MARKERS, MOST_TICKS


def numbers(scored: pl.DataFrame, *, by: str = "partition_key") -> pl.DataFrame:
    """Errors per partition of numbers (regression, forecasts) joined with their outcomes.

    Parameters
    ----------
    scored : one row per score; `score` and `outcome` in the label's unit, an unknown outcome null or NaN

    Returns
    -------
    polars.DataFrame
        `by`, ascending, and: scored (rows), n (rows with an outcome), mean_score, mean_outcome, bias (mean of
        score - outcome), mae, rmse over those rows (null where n = 0).

    Raises
    ------
    ModelError
        if a column is missing or a score is no finite number.
    """
    rows = _rows(scored, by)
    error = pl.col("p") - pl.col("y")
    figures = (
        _known(rows)
        .group_by(by)
        .agg(
            n=pl.len().cast(pl.Int64),
            mean_score=pl.col("p").mean(),
            mean_outcome=pl.col("y").mean(),
            bias=error.mean(),
            mae=error.abs().mean(),
            rmse=(error**2).mean().sqrt(),
        )
    )
    return _with_scored(rows, figures, by)


def lists(scored: pl.DataFrame, together: list[str], *, by: str = "partition_key") -> pl.DataFrame:
    """What the first places were worth per partition, of ranked lists joined with their outcomes.

    Parameters
    ----------
    scored : one row per alternative; `rank` from 1, `score`, `outcome` (more is better; unknown null or NaN)
    together : columns that are equal in one list

    Returns
    -------
    polars.DataFrame
        `by`, ascending, and: scored (rows), n (lists of two or more known alternatives), mean_score and
        mean_outcome (the first places' and all alternatives' mean outcome), best (mean of the best outcomes);
        of the alternatives whose outcome is known, the one of the lowest rank is the first place.
    """
    rows = _rows(scored, by, "rank")
    known = (
        _known(rows)
        .group_by(by, *together)
        .agg(
            first=pl.col("y").sort_by("rank").first(),
            mean=pl.col("y").mean(),
            best=pl.col("y").max(),
            n=pl.len(),
        )
    )
    figures = (
        known.filter(pl.col("n") > 1)
        .group_by(by)
        .agg(
            n=pl.len().cast(pl.Int64),
            mean_score=pl.col("first").mean(),
            mean_outcome=pl.col("mean").mean(),
            best=pl.col("best").mean(),
        )
    )
    return _with_scored(rows, figures, by)


def picture(days: pl.DataFrame, names: tuple[str, str], *, by: str, title: str) -> Picture:
    """`mean_score` and `mean_outcome` over the partitions that have outcomes, called by `names`."""
    known = days.filter(pl.col("n") > 0).sort(by)
    at = tuple(float(place) for place in range(known.height))
    step = max(1, -(-known.height // MOST_TICKS))
    labels = known[by].cast(pl.String).to_list()
    lines = [
        Line(name, at, tuple(known[column].to_list()), markers=known.height <= MOST_MARKERS)
        for name, column in zip(names, ("mean_score", "mean_outcome"), strict=True)
    ]
    return Picture(
        title=title,
        x_label="partition",
        y_label="mean of the day",
        lines=tuple(lines),
        ticks=tuple((float(place), labels[place]) for place in range(0, known.height, step)),
        key="upper left",
    )


def _rows(scored: pl.DataFrame, *more: str) -> pl.DataFrame:
    absent = [name for name in (*more, "score", "outcome") if name not in scored.columns]
    if absent:
        raise ModelError(
            f"there is no column {absent[0]!r} among the scores; got {', '.join(scored.columns) or 'none'}.",
            hint="Join the scores with their outcomes first.",
        )
    rows = scored.with_columns(
        p=pl.col("score").cast(pl.Float64), y=pl.col("outcome").cast(pl.Float64).fill_nan(None)
    )
    wrong = rows.filter(~pl.col("p").is_finite().fill_null(False))
    if wrong.height:
        raise ModelError(
            f"got {wrong.height} of {rows.height} rows with a score of {wrong['p'][0]}; allowed: a finite "
            "number.",
            hint="Scores that failed are not scores: leave them out, and count them as errors.",
        )
    return rows


def _known(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col("y").is_not_null())


def _with_scored(rows: pl.DataFrame, figures: pl.DataFrame, by: str) -> pl.DataFrame:
    scores = rows.group_by(by).agg(scored=pl.len().cast(pl.Int64))
    joined = scores.join(figures, on=by, how="left", nulls_equal=True).sort(by)
    return joined.with_columns(pl.col("n").fill_null(0))
