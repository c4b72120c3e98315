"""Cross-validation: the rows in folds of equal size, of which one validates and the others train."""

from collections.abc import Sequence

import polars as pl

from mlplatform.stages.segregation.splits._draw import (
    check_columns,
    check_seed,
    check_share,
    check_whole,
    drawn,
)


def split(
    frame: pl.DataFrame,
    *,
    keys: Sequence[str],
    folds: int = 5,
    fold: int = 0,
    seed: int = 0,
    test: float | None = None,
) -> pl.Series:
    """Folds drawn by a hash of (seed, key); over all `fold` every row that does not test validates once.

    Parameters
    ----------
    frame: the rows; only the columns `keys` are read, which should be unique.
    folds: how many there are, 2 to 1000; their sizes differ by one row at most.
    fold: which of them validates, from 0; the others train.
    test: share of the rows in (0, 1) that is held back, the same for every fold; None: none is.

    Raises
    ------
    ConfigurationError
        for a number or share outside these bounds, or absent key columns.
    """
    check_columns(frame, "keys", keys)
    check_seed(seed)
    check_whole("folds", folds, 2, 1000)
    check_whole("fold", fold, 0, folds - 1)
    if test is not None:
        check_share("test", test)
    n_test = round((test or 0) * frame.height)
    parts = [""] * frame.height
    for place, row in enumerate(drawn(frame, keys, seed), start=-n_test):
        if place < 0:
            parts[row] = "test"
        else:
            parts[row] = "validation" if place % folds == fold else "train"
    return pl.Series("part", parts, dtype=pl.String)
