"""Trends: how far a partition lies from those before it, in their own standard deviations.

It must not look at rows: it reads the conditions that condition.py takes, of this partition and earlier ones.
"""

import numpy as np
import numpy.typing as npt
import polars as pl

Floats = npt.NDArray[np.float64]

FEWEST = 7
"""Earlier partitions that a trend needs; below, a standard deviation is mostly chance."""
FURTHEST = 100.0
"""A trend is cut off here: beyond, "it never changed before" is all the number says."""
LEAST_SHARE = 0.01
"""Shares of missing values differ by a hundredth without meaning anything: the least standard deviation."""
LEAST_MEAN = 1e-9
"""The least standard deviation of a mean, relative to it: below, differences are rounding."""


def with_trends(found: pl.DataFrame, history: pl.DataFrame | None, window: int) -> pl.DataFrame:
    """Conditions with `trend` and `missing_trend` set, from the earlier partitions in `found` and `history`.

    Both are (value - mean) / standard deviation over the `window` partitions before that have the column, at
    least `FEWEST` of them with a value; else null. `missing_trend` is of the share of missing values, `trend`
    of the mean, or of that share for columns without a mean. Earlier is by text of `partition_key`.

    Parameters
    ----------
    found : conditions to complete
    history : conditions of other partitions; where one is also in `found`, that one counts
    """
    share = pl.col("missing") / pl.col("rows")
    needed = ["partition_key", "column", "kind", "rows", "missing", "mean"]
    mine = found.select(*needed, mine=pl.lit(True))
    past = (found.clear() if history is None else history).select(*needed, mine=pl.lit(False))
    past = past.join(mine, on=["partition_key", "column"], how="anti")
    line = pl.concat([mine, past]).with_columns(share=share.fill_nan(None)).sort("column", "partition_key")
    parts = [_of_column(part, window) for part in line.partition_by("column")]
    trends = pl.concat([_of_column(line.clear(), window), *parts]).filter("mine").drop("mine")
    return (
        found.drop("trend", "missing_trend")
        .join(trends, on=["partition_key", "column"], how="left", maintain_order="left")
        .select(found.columns)
    )


def _of_column(line: pl.DataFrame, window: int) -> pl.DataFrame:
    """Trends of one column, rows in order of partition."""
    mean, share = (line[name].to_numpy().astype(np.float64) for name in ("mean", "share"))
    missing = _distance(share, window, np.full(len(share), LEAST_SHARE))
    moved = _distance(mean, window, LEAST_MEAN * np.maximum(np.abs(mean), 1e-300))
    measured = pl.col("kind").is_in(["number", "boolean"])
    found = line.select("partition_key", "column", "kind", "mine").with_columns(
        pl.Series("moved", moved, nan_to_null=True), pl.Series("missing_trend", missing, nan_to_null=True)
    )
    trend = pl.when(measured).then("moved").otherwise("missing_trend")
    return found.select("partition_key", "column", "mine", "missing_trend", trend=trend)


def _distance(values: Floats, window: int, least: Floats) -> Floats:
    """(n,) distance of each value from the `window` before it; NaN where too few have a value.

    Each row has its own copy of its window: running sums would carry rounding on from partition to partition.
    """
    if not len(values):
        return values
    padded = np.concatenate([np.full(window, np.nan), values[:-1]])
    before = np.lib.stride_tricks.sliding_window_view(padded, window)
    known = np.isfinite(before)
    count = known.sum(axis=1)
    with np.errstate(all="ignore"):
        mean = np.where(known, before, 0.0).sum(axis=1) / count
        off = np.where(known, before - mean[:, None], 0.0)
        deviation = np.sqrt((off**2).sum(axis=1) / (count - 1))
        distance = (values - mean) / np.maximum(deviation, least)
    return np.where(count >= FEWEST, np.clip(distance, -FURTHEST, FURTHEST), np.nan)
