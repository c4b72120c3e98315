"""What strategies share: rows in a drawn order, parts by shares of an order, and checks of their options.

It must not use a library's random stream: those may change with a version, and then old splits with them.
"""

from collections.abc import Sequence
from hashlib import blake2b

import polars as pl

from mlplatform.errors import ConfigurationError

_LARGEST = 2**63 - 1


def drawn(frame: pl.DataFrame, columns: Sequence[str], seed: int, purpose: str = "") -> list[int]:
    """Numbers of the rows in the order of a hash of seed and `columns`; another purpose, another order."""
    salt = f"{seed}{purpose}".encode()
    rows = frame.select(columns).iter_rows()
    hashes = [blake2b(repr(row).encode(), digest_size=16, key=salt).digest() for row in rows]
    return sorted(range(len(hashes)), key=hashes.__getitem__)


def by_shares(rows: int, order: Sequence[int], validation: float, test: float) -> pl.Series:
    """Parts of `rows` rows: the first share of `order` tests, the next validates, the rest of it trains.

    Shares are exact to one row. Rows that `order` leaves out belong to no part.
    """
    n_test, n_validation = round(test * len(order)), round(validation * len(order))
    parts: list[str | None] = [None] * rows
    for place, row in enumerate(order):
        if place < n_test:
            parts[row] = "test"
        else:
            parts[row] = "validation" if place < n_test + n_validation else "train"
    return pl.Series("part", parts, dtype=pl.String)


def check_columns(frame: pl.DataFrame, option: str, columns: Sequence[str]) -> None:
    """Refuse columns that the frame has not, or none at all."""
    absent = [name for name in columns if name not in frame.columns]
    if absent or not columns:
        got = list(columns) if option == "keys" else ", ".join(map(repr, columns))
        raise ConfigurationError(
            f"got {option} {got}; the frame has: {', '.join(frame.columns)}.",
            hint=f"Correct the names of columns in `{option}`.",
        )


def check_seed(seed: int) -> None:
    """Refuse a seed that is not a whole number of 64 bits."""
    check_whole("seed", seed, -_LARGEST, _LARGEST)


def check_whole(option: str, value: int, low: int, high: int) -> None:
    """Refuse what is not a whole number from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        allowed = "a whole number" if low < 0 else f"a whole number from {low} to {high}"
        raise ConfigurationError(f"got {option} {value!r}; allowed: {allowed}.")


def check_shares(validation: float, test: float) -> None:
    """Refuse shares that are not within (0, 1) or leave no row to train on."""
    check_share("validation", validation)
    check_share("test", test)
    if validation + test >= 1:
        raise ConfigurationError(
            f"got validation {validation} and test {test}; together they must be below 1.",
            hint="Leave a share of the rows to train on, for example 0.15 and 0.15.",
        )


def check_share(option: str, share: float) -> None:
    """Refuse what is not a number within (0, 1)."""
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
        raise ConfigurationError(
            f"got {option} {share!r}; allowed: a share between 0 and 1.",
            hint=f"Write {option}: 0.15 for 15 % of the rows.",
        )
