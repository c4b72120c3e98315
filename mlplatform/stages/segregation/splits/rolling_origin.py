"""Split by time around one of several origins: how a model would have done, had it been trained before.

Rolling-origin evaluation as in Tashman, "Out-of-sample tests of forecasting accuracy" (2000). It must not
read a clock: the as-of day is given.
"""

from datetime import date

import polars as pl

from mlplatform.stages.segregation.splits._draw import check_whole
from mlplatform.stages.segregation.splits._time import around, as_day, shifted


def split(
    frame: pl.DataFrame,
    *,
    time: str,
    as_of: date | str,
    folds: int = 3,
    fold: int | None = None,
    validation: str = "1mo",
    test: str | None = None,
    step: str | None = None,
    window: str | None = None,
    gap: str | None = None,
) -> pl.Series:
    """Parts by the day (UTC) in column `time`, as `by_time` has them, around the origin of one fold.

    Parameters
    ----------
    frame: the rows; only column `time` is read.
    as_of: origin of the last fold; the origin of each fold before lies one `step` earlier.
    folds, fold: how many there are (1 to 1000) and which one is meant, from 0, the earliest; None: the last.
    validation, test: lengths of the parts after the origin, such as "28d", "1mo"; test None: there is none.
    step: length between two origins; None: that of validation, so that validations follow each other.
    window: length of train, which slides with the origin; None: train expands from the first row.
    gap: length left out before validation and before test; None: none.

    Returns
    -------
    "train", "validation", "test", or null for rows outside these windows and rows without a time.

    Raises
    ------
    ConfigurationError
        for a column that is absent or holds no time, and for a length, day or number that cannot be used.
    """
    check_whole("folds", folds, 1, 1000)
    chosen = folds - 1 if fold is None else fold
    check_whole("fold", chosen, 0, folds - 1)
    name, length = ("validation", validation) if step is None else ("step", step)
    origin = shifted(as_day(as_of), name, length, chosen + 1 - folds)
    return around(frame, time, origin, validation=validation, test=test, gap=gap, window=window)
