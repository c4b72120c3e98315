"""What strategies by time share: days of a column, lengths of time, and the parts around an origin.

It must not read a clock.
"""

import re
from datetime import date, datetime

import polars as pl

from mlplatform.errors import ConfigurationError

_LENGTH = re.compile(r"([1-9]\d{0,4})(d|w|mo|y)")
_DAYS = {"d": 1, "w": 7, "mo": 31, "y": 366}


def around(
    frame: pl.DataFrame,
    time: str,
    origin: date,
    *,
    validation: str,
    test: str | None,
    gap: str | None = None,
    window: str | None = None,
) -> pl.Series:
    """Train before `origin`, validation and then test from it on, with `gap` left out before each.

    Parameters
    ----------
    test, gap: None leaves it out. `window`: length of train, up to the origin; None: all that is before.

    Returns
    -------
    Parts in the frame's order; null in a gap, outside all windows, and for rows without a time.
    """
    day = days(frame, time)
    first = None if window is None else shifted(origin, "window", window, -1)
    start = shifted(origin, "gap", gap)
    middle = shifted(start, "validation", validation)
    later = shifted(middle, "gap", gap)
    end = later if test is None else shifted(later, "test", test)
    old = pl.lit(True) if first is None else day >= first
    part = (
        pl.when(old & (day < origin))
        .then(pl.lit("train"))
        .when((day >= start) & (day < middle))
        .then(pl.lit("validation"))
        .when((day >= later) & (day < end))
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


def days(frame: pl.DataFrame, time: str) -> pl.Expr:
    """The day (UTC) of each row; null where there is none."""
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


def shifted(day: date, name: str, length: str | None, times: int = 1) -> date:
    """The day `times` lengths later (before, if negative); for `gap` no length is none.

    Raises
    ------
    ConfigurationError
        for a length that cannot be read, or that leads out of the calendar; `name` is the option's.
    """
    if length is None and name == "gap":
        return day
    found = _LENGTH.fullmatch(length) if isinstance(length, str) else None
    if found is None:
        raise ConfigurationError(
            f"got {name} {length!r}; allowed: a number and d, w, mo or y, such as '28d' or '1mo'.",
            hint=f"Write {name}: 1mo for one calendar month.",
        )
    number, unit = int(found[1]) * times, found[2]
    target = day.year + number * _DAYS[unit] / 366
    if not 1 < target < 9998:
        raise ConfigurationError(f"got {name} {length!r}; from {day} that leads out of the calendar.")
    moved = pl.select(pl.lit(day).dt.offset_by(f"{number}{unit}")).item()
    assert isinstance(moved, date)
    return moved
