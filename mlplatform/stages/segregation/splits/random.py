"""Split at random by ratio and seed; which part a row gets depends on its key, never on its place.

It must not use a library's random stream: those may change with a version, and then old splits with them.
"""

from collections.abc import Sequence
from hashlib import blake2b

import polars as pl

from mlplatform.errors import ConfigurationError


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
    _check(frame, keys, seed, validation, test)
    rows = frame.height
    n_test, n_validation = round(test * rows), round(validation * rows)
    order = sorted(zip(_hashes(frame, keys, seed), range(rows), strict=True))
    parts = ["train"] * rows
    for place, (_, row) in enumerate(order):
        if place < n_test:
            parts[row] = "test"
        elif place < n_test + n_validation:
            parts[row] = "validation"
    return pl.Series("part", parts, dtype=pl.String)


def _hashes(frame: pl.DataFrame, keys: Sequence[str], seed: int) -> list[bytes]:
    salt = str(seed).encode()
    rows = frame.select(keys).iter_rows()
    return [blake2b(repr(row).encode(), digest_size=16, key=salt).digest() for row in rows]


def _check(frame: pl.DataFrame, keys: Sequence[str], seed: int, validation: float, test: float) -> None:
    absent = [key for key in keys if key not in frame.columns]
    if absent or not keys:
        raise ConfigurationError(
            f"got keys {list(keys)}; the frame has: {', '.join(frame.columns)}.",
            hint="Name the columns that together identify a row.",
        )
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise ConfigurationError(f"got seed {seed!r}; allowed: a whole number.")
    for name, share in (("validation", validation), ("test", test)):
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
            raise ConfigurationError(f"got {name} {share!r}; allowed: a share between 0 and 1.")
    if validation + test >= 1:
        raise ConfigurationError(
            f"got validation {validation} and test {test}; together they must be below 1.",
            hint="Leave a share of the rows to train on, for example 0.15 and 0.15.",
        )
