"""The rows a verdict is given on: answers with their reference's score and outcome, checked and in time.

It must not compute a figure (paired.py does).
"""

from datetime import timedelta

import polars as pl

from mlplatform.errors import ModelError
from mlplatform.stages.monitoring.rollback_rule import RollbackRule
from mlplatform.stages.training.output import Kind

COLUMNS = ("at", "block", "score", "reference", "outcome")


def known_rows(judged: pl.DataFrame, kind: Kind) -> pl.DataFrame:
    """Rows whose outcome is known and that both scored: at, day, block, p (score), q (reference), y.

    Raises
    ------
    ModelError
        if a column is missing or a score or an outcome is not one of the kind.
    """
    absent = [name for name in COLUMNS if name not in judged.columns]
    if absent:
        raise ModelError(
            f"there is no column {absent[0]!r} among the judged answers; got "
            f"{', '.join(judged.columns) or 'none'}.",
            hint="Join the answers with the reference's scores and the outcomes first.",
        )
    p, q = (pl.col(name).cast(pl.Float64) for name in ("score", "reference"))
    rows = judged.select(
        "at",
        "block",
        day=pl.col("at").dt.date().cast(pl.String),
        p=p,
        q=q,
        y=pl.col("outcome").cast(pl.Float64).fill_nan(None),
    )
    rows = rows.filter(pl.col("y").is_not_null(), pl.col("q").is_not_null())
    _check(rows, ("p", "q"), *_SCORES[kind == "probability"])
    _check(rows, ("y",), *_OUTCOMES[kind == "probability"])
    if rows["at"].null_count() or rows["block"].null_count():
        raise ModelError(
            "got an answer without a time or a block; each has both.", hint="A question has a time: as_of."
        )
    return rows


def _number(name: str) -> pl.Expr:
    return pl.col(name).is_finite()


def _share(name: str) -> pl.Expr:
    return pl.col(name).is_between(0.0, 1.0)


def _label(name: str) -> pl.Expr:
    return pl.col(name).is_in([0.0, 1.0])


_SCORES = {True: (_share, "a score", "a number from 0 to 1"), False: (_number, "a score", "a finite number")}
_OUTCOMES = {True: (_label, "an outcome", "0 or 1"), False: (_number, "an outcome", "a finite number")}


def _check(rows: pl.DataFrame, columns: tuple[str, ...], right: object, what: str, allowed: str) -> None:
    for column in columns:
        wrong = rows.filter(~right(column).fill_null(False))  # type: ignore[operator]
        if wrong.height:
            raise ModelError(
                f"got {wrong.height} of {rows.height} rows with {what} of {wrong[column][0]}; "
                f"allowed: {allowed}.",
                hint="Scores that failed are not scores: leave them out, and count them as errors.",
            )


def in_time(judged: pl.DataFrame, known: pl.DataFrame, rule: RollbackRule) -> pl.DataFrame:
    """The known rows that are neither too old nor too young to be judged."""
    if not judged.height:
        return known
    now = judged["at"].max()
    assert now is not None
    upto = pl.lit(now) - timedelta(hours=rule.settle_hours)
    return known.filter(pl.col("at") <= upto, pl.col("at") > upto - timedelta(days=rule.days))
