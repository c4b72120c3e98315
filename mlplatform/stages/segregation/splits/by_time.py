"""Split by time: everything before the as-of day trains, the time after it validates and tests.

It must not read a clock: the as-of day is given.
"""

from datetime import date

import polars as pl

from mlplatform.stages.segregation.splits._time import around, as_day


def split(
    frame: pl.DataFrame,
    *,
    time: str,
    as_of: date | str,
    validation: str = "1mo",
    test: str | None = "2mo",
    gap: str | None = None,
) -> pl.Series:
    """Parts by the day (UTC) in column `time`: a Date, a Datetime or a `YYYY-MM-DD` string.

    Parameters
    ----------
    frame: the rows; only column `time` is read.
    as_of: first day that is not trained on; train is every day before it.
    validation: length of [as_of + gap, as_of + gap + validation), such as "28d", "4w", "1mo", "1y".
    test: length of the part that follows validation and another gap; None: there is none.
    gap: length left out before validation and before test, for labels that take time to be known; None: none.

    Returns
    -------
    "train", "validation", "test", or null for rows in a gap, later rows and rows without a time.

    Raises
    ------
    ConfigurationError
        for a column that is absent or holds no time, and for a length or day that cannot be read.
    """
    return around(frame, time, as_day(as_of), validation=validation, test=test, gap=gap)
