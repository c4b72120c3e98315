"""Split at random by ratio and seed; which part a row gets depends on its key, never on its place."""

from collections.abc import Sequence

import polars as pl

from mlplatform.stages.segregation.splits._draw import (
    by_shares,
    check_columns,
    check_seed,
    check_shares,
    drawn,
)


def split(
    frame: pl.DataFrame, *, keys: Sequence[str], seed: int = 0, validation: float = 0.15, test: float = 0.15
) -> pl.Series:
    """Parts drawn by a hash of (seed, key): the same rows and seed give the same parts in any row order.

    Parameters
    ----------
    frame: the rows; only the columns `keys` are read. Rows with equal keys are drawn in one piece of the
        order but may be cut at a border, so keys should be unique.
    validation, test: shares of the rows in (0, 1), exact to one row; the rest is train.

    Raises
    ------
    ConfigurationError
        for shares that leave no training rows, a seed that is not a whole number, or absent key columns.
    """
    check_columns(frame, "keys", keys)
    check_seed(seed)
    check_shares(validation, test)
    return by_shares(frame.height, drawn(frame, keys, seed), validation, test)
