"""Split by time: everything before the as-of day trains, the time after it validates and tests.

It must not read a clock: the as-of day is given.
"""

import re
from datetime import date, datetime

import polars as pl

from mlplatform.errors import ConfigurationError

_OFFSET = re.compile(r"[1-9]\d{0,4}(d|w|mo|y)")


def split(
    frame: pl.DataFrame, *, time: str, as_of: date | str, validation: str = "1mo", test: str = "2mo"
) -> pl.Series:
    """Parts by the day (UTC) in column `time`: a Date, a Datetime or a `YYYY-MM-DD` string.

    Parameters
    ----------
    frame: the rows; only column `time` is read.
    as_of: first day that is not trained on; train is every day before it.
    validation: length of [as_of, as_of + validation), such as "28d", "4w", "1mo", "1y".
    test: length of the part that follows validation.

    Returns
    -------
    "train", "validation", "test", or null for later rows and rows without a time.

    Raises
    ------
    ConfigurationError
        for a column that is absent or holds no time, and for a length or day that cannot be read.
    """
    day = _days(frame, time)
    start = as_day(as_of)
    middle = _shift(start, "validation", validation)
    end = _shift(middle, "test", test)
    part = (
        pl.when(day < start)
        .then(pl.lit("train"))
        .when(day < middle)
        .then(pl.lit("validation"))
        .when(day < end)
        .then(pl.lit("test"))
    )
    return frame.select(part.alias("part")).to_series()


def as_day(value: date | str) -> date:
    """The day a date, a datetime or a `YYYY-MM-DD` string names."""
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"got as_of {value!r}; allowed: a day written YYYY-MM-DD.") from error


def _days(frame: pl.DataFrame, time: str) -> pl.Expr:
    if time not in frame.columns:
        raise ConfigurationError(
            f"got time column {time!r}; the frame has: {', '.join(frame.columns)}.",
            hint="Set the split's `time` to the column that says when a row was decided.",
        )
    kind = frame.schema[time]
    if kind == pl.Date:
        return pl.col(time)
    if isinstance(kind, pl.Datetime):
        utc = pl.col(time).dt.convert_time_zone("UTC") if kind.time_zone else pl.col(time)
        return utc.dt.date()
    if kind == pl.String:
        return pl.col(time).str.to_date("%Y-%m-%d", strict=False)
    raise ConfigurationError(
        f"got time column {time!r} of type {kind}; allowed: Date, Datetime or String YYYY-MM-DD."
    )


def _shift(day: date, name: str, length: str) -> date:
    if not isinstance(length, str) or not _OFFSET.fullmatch(length):
        raise ConfigurationError(
            f"got {name} {length!r}; allowed: a number and d, w, mo or y, such as '28d' or '1mo'.",
            hint=f"Write {name}: 1mo for one calendar month.",
        )
    shifted = pl.select(pl.lit(day).dt.offset_by(length)).item()
    assert isinstance(shifted, date)
    return shifted
