"""Split at random with equal shares of every class: each part has rare classes as often as the whole has."""

from collections.abc import Sequence

import polars as pl

from mlplatform.errors import ConfigurationError
from mlplatform.stages.segregation.splits._draw import (
    check_columns,
    check_seed,
    check_shares,
    check_whole,
    drawn,
)

Levels = list[list[int]]


def split(
    frame: pl.DataFrame,
    *,
    keys: Sequence[str],
    label: str | None,
    by: str | None = None,
    bins: int = 20,
    seed: int = 0,
    validation: float = 0.15,
    test: float = 0.15,
) -> pl.Series:
    """Parts drawn by a hash of (seed, key) within each level of a column, missing being a level too.

    Parameters
    ----------
    frame: the rows; `keys` and the column of levels are read.
    by: the column of levels; None: the label.
    bins: numbers of more than so many levels are cut into so many ranges, equally full.
    validation, test: shares in (0, 1) of each level and of all rows, exact to one row; the rest is train.

    Raises
    ------
    ConfigurationError
        for shares that leave no training rows, a seed or bins that are no whole number, absent columns, or
        neither a label nor `by`.
    """
    check_columns(frame, "keys", keys)
    check_seed(seed)
    check_shares(validation, test)
    check_whole("bins", bins, 2, 1000)
    column = label if by is None else by
    if column is None:
        raise ConfigurationError(
            "got neither a label nor `by`; allowed: one of them, whose levels get equal shares.",
            hint="Write by: with the name of a column.",
        )
    check_columns(frame, "by", [column])
    order = drawn(frame, keys, seed)
    return _divided(_levels(frame[column], bins, order), frame.height, validation, test)


def _levels(column: pl.Series, bins: int, order: list[int]) -> Levels:
    """The rows of each level, drawn; levels in an order that only the values decide."""
    if column.dtype.is_numeric() and column.drop_nulls().n_unique() > bins:
        column = (column.rank("min") - 1) * bins // (column.len() - column.null_count())
    elif column.dtype in (pl.Categorical, pl.Enum):
        column = column.cast(pl.String)
    rows = pl.DataFrame({"level": column, "row": range(column.len())})[order]
    levels = rows.group_by("level", maintain_order=True).agg("row").sort("level", nulls_last=True)
    return levels["row"].to_list()


def _divided(levels: Levels, rows: int, validation: float, test: float) -> pl.Series:
    """What rounding leaves of one level is owed to the next, so that many small ones get their share too."""
    parts = ["train"] * rows
    owed = {"test": 0.0, "validation": 0.0}
    for level in levels:
        left = level
        for part, share in (("test", test), ("validation", validation)):
            owed[part] += share * len(level)
            taken = min(len(left), max(0, round(owed[part])))
            owed[part] -= taken
            for row in left[:taken]:
                parts[row] = part
            left = left[taken:]
    return pl.Series("part", parts, dtype=pl.String)
