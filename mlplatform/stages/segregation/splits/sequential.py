"""Split in sequence by ratio: the first rows train, the next validate, the last test."""

from collections.abc import Sequence

import polars as pl

from mlplatform.errors import ConfigurationError
from mlplatform.stages.segregation.splits._draw import by_shares, check_columns, check_shares


def split(
    frame: pl.DataFrame,
    *,
    keys: Sequence[str],
    time: str | None = None,
    validation: float = 0.15,
    test: float = 0.15,
) -> pl.Series:
    """Parts by the place of a row in the order of `time`; equal times stand in the order of their keys.

    Parameters
    ----------
    frame: the rows; only `time` and `keys` are read.
    time: column to order by: dates, times, numbers, or text that sorts as it should (ISO 8601); None: the
        rows stand in the order of their keys.
    validation, test: shares of the rows in (0, 1), exact to one row; the rest, which comes first, is train.

    Returns
    -------
    "train", "validation", "test", or null for rows without a time.

    Raises
    ------
    ConfigurationError
        for shares that leave no training rows, and for columns that are absent or have no order.
    """
    check_columns(frame, "keys", keys)
    check_shares(validation, test)
    _check_time(frame, time)
    columns = [*([] if time is None else [time]), *keys]
    # The latest first, because what is at the head of an order tests.
    placed = frame.select(pl.col(name).alias(str(place)) for place, name in enumerate(columns))
    placed = placed.with_row_index("row").drop_nulls([] if time is None else ["0"])
    # Categories have an order of their own, which may be that of their coming.
    placed = placed.with_columns(pl.selectors.categorical().cast(pl.String))
    order = placed.sort(pl.exclude("row"), descending=True)["row"].to_list()
    return by_shares(frame.height, order, validation, test)


def _check_time(frame: pl.DataFrame, time: str | None) -> None:
    if time is None:
        return
    check_columns(frame, "time", [time])
    kind = frame.schema[time]
    if not (kind.is_temporal() or kind.is_numeric() or kind == pl.String):
        raise ConfigurationError(
            f"got time column {time!r} of type {kind}; allowed: dates, times, numbers or text.",
            hint="Set the split's `time` to a column that says what comes first.",
        )
