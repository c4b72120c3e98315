"""Loss level by level of a column: answers that are right on the whole may be wrong for one airport.

Each level is compared with what the reference says of the same rows, as some levels are hard for every
model. It must not judge a level of few rows: its figure is noise.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from mlplatform.errors import ModelError
from mlplatform.stages.evaluation.bootstrap import FEWEST_DAYS, interval, resample
from mlplatform.stages.evaluation.slices import MISSING
from mlplatform.stages.evaluation.values import Floats
from mlplatform.stages.monitoring.paired import relative
from mlplatform.stages.monitoring.rollback_rule import Loss
from mlplatform.stages.monitoring.verdict import ROW_LOSSES

SCHEMA: dict[str, Any] = {
    "column": pl.String,
    "level": pl.String,
    "minimum": pl.Int64,
    "n": pl.Int64,
    "loss": pl.Float64,
    "loss_low": pl.Float64,
    "loss_high": pl.Float64,
    "scored_mean": pl.Float64,
    "observed_mean": pl.Float64,
    "compared": pl.Int64,
    "reference_loss": pl.Float64,
    "excess": pl.Float64,
    "excess_low": pl.Float64,
    "excess_high": pl.Float64,
}
_NEEDED = ("score", "reference", "outcome", "block")


def by_slice(
    answers: pl.DataFrame, loss: Loss, minimum_rows: Mapping[str, int], *, level: float = 0.9
) -> pl.DataFrame:
    """Loss and its reference's of each level of some columns.

    Parameters
    ----------
    answers : answers joined with their outcomes: score, reference (what the reference says of the same
        question; null: nothing), outcome (null or NaN: not known, left out), block (rows of one block, such
        as a day, are dependent), and the columns to slice by, of any type
    minimum_rows : per column to slice by, the fewest rows of a level that has figures
    level : of the intervals

    Returns
    -------
    polars.DataFrame
        a row per level with the columns of `SCHEMA`, the largest loss first; levels below the minimum come
        last, the largest first, with n alone. `loss_low` and `loss_high` are null for fewer than 5 blocks;
        `compared` rows have a reference, and `excess` is the loss on these as a share above
        `reference_loss`, with an interval from two blocks on. A missing value is the level `missing`.

    Raises
    ------
    ModelError
        if a column is missing.
    """
    absent = [name for name in (*_NEEDED, *minimum_rows) if name not in answers.columns]
    if absent:
        raise ModelError(
            f"there is no column {absent[0]!r} among the answers; got {', '.join(answers.columns)}.",
            hint="Join the answers with their outcomes, and with what they are to be sliced by.",
        )
    known = answers.with_columns(pl.col("outcome").cast(pl.Float64).fill_nan(None)).drop_nulls("outcome")
    found = [
        {"column": column, "minimum": least} | _figures(name, rows, least, loss, level)
        for column, least in minimum_rows.items()
        for name, rows in _levels(known, column)
    ]
    # Not judged comes behind judged, and there the level that is nearest to being judged comes first.
    return pl.DataFrame(found, schema=SCHEMA).sort(
        "loss", "n", "column", "level", descending=[True, True, False, False], nulls_last=True
    )


def _levels(rows: pl.DataFrame, column: str) -> list[tuple[str, pl.DataFrame]]:
    named = rows.with_columns(_level=pl.col(column).cast(pl.String).fill_null(MISSING))
    parts = named.partition_by("_level", as_dict=True)
    return [(str(name), part) for (name,), part in parts.items()]


def _figures(name: str, rows: pl.DataFrame, least: int, loss: Loss, level: float) -> dict[str, Any]:
    found: dict[str, Any] = {"level": name, "n": rows.height}
    if rows.height < least:
        return found
    y, p = _numbers(rows, "outcome"), _numbers(rows, "score")
    losses = ROW_LOSSES[loss](y, p)
    told = {"loss": float(losses.mean()), "scored_mean": float(p.mean()), "observed_mean": float(y.mean())}
    return found | told | _ends(losses, rows["block"], level) | _compared(rows, loss, level)


def _ends(losses: Floats, blocks: pl.Series, level: float) -> dict[str, float]:
    """The interval of the mean loss, whole blocks drawn."""
    if blocks.n_unique() < FEWEST_DAYS:
        return {}
    drawn = resample(blocks)
    count = drawn.weights.shape[1]
    sums = drawn.weights @ np.bincount(drawn.place, losses, count)
    ends = interval(list(sums / (drawn.weights @ np.bincount(drawn.place, minlength=count))), level)
    return {"loss_low": ends.low, "loss_high": ends.high}


def _compared(rows: pl.DataFrame, loss: Loss, level: float) -> dict[str, Any]:
    """The reference on the same rows."""
    both = rows.drop_nulls("reference")
    if not both.height:
        return {"compared": 0}
    y = _numbers(both, "outcome")
    mine, theirs = (ROW_LOSSES[loss](y, _numbers(both, name)) for name in ("score", "reference"))
    found: dict[str, Any] = {"compared": both.height, "reference_loss": float(theirs.mean())}
    ahead = relative(mine, theirs, both["block"], level) if both["block"].n_unique() > 1 else None
    if ahead is not None:
        found |= {"excess": ahead.excess, "excess_low": ahead.low, "excess_high": ahead.high}
    return found


def _numbers(rows: pl.DataFrame, name: str) -> Floats:
    return rows[name].cast(pl.Float64).to_numpy()
