"""The windows by which drift is looked at: the days of a month in equal parts of one to four weeks.

A month is not a window: it is longer than what the past is measured by, and its length differs. Every day is
in one window, and a window that is over never changes. It must not read a store.
"""

import math
from datetime import date, timedelta
from itertools import pairwise
from typing import NamedTuple

import polars as pl

from mlplatform.offline.declared import Declared
from mlplatform.offline.partitions import days_of_month
from mlplatform.stages.monitoring.drift_null import LONGEST, SHORTEST

FIRST, LAST = "window_first", "window_last"
"""Columns of `drift_report`."""


class Window(NamedTuple):
    """Days of data, both included."""

    first: date
    last: date

    @classmethod
    def of(cls, first: str, last: str) -> "Window":
        """The window between two days in ISO 8601."""
        return cls(date.fromisoformat(first), date.fromisoformat(last))

    @property
    def days(self) -> int:
        """How long it is."""
        return (self.last - self.first).days + 1

    @property
    def file(self) -> str:
        """The name of its report, without a suffix."""
        return f"drift-{self.first}-to-{self.last}"

    def __str__(self) -> str:
        """For people."""
        return f"{self.first} to {self.last}"


def windows(declared: Declared, month: str) -> list[Window]:
    """The windows of the month that begins on `month`, the oldest first.

    They are as near to `drift.window_days` as equal parts of the month can be. Where the month has fewer than
    seven days, as the first or the last one may, its one window begins in the days before it.
    """
    first, last = map(date.fromisoformat, days_of_month(declared, month))
    count = (last - first).days + 1
    if count < SHORTEST:
        return [Window(max(declared.config.days.first, last - timedelta(days=SHORTEST - 1)), last)]
    wanted = min(round(count / declared.config.drift.window_days), count // SHORTEST)
    parts = max(wanted, math.ceil(count / LONGEST))
    starts = [first + timedelta(days=place * count // parts) for place in range(parts + 1)]
    return [Window(begin, end - timedelta(days=1)) for begin, end in pairwise(starts)]


def newest(report: pl.DataFrame) -> pl.DataFrame:
    """The rows of the newest window in a drift report; all of one that a version before this one wrote."""
    if LAST not in report.columns or report[LAST].null_count() == report.height:
        return report
    return report.filter(pl.col(LAST) == report[LAST].max())


def span(report: pl.DataFrame) -> str:
    """Of which days the rows of one window are, for people; their month where that is all they tell."""
    if LAST not in report.columns or report[LAST].null_count() == report.height:
        return str(report["partition_key"][0])[:7]
    return f"{report[FIRST][0]} to {report[LAST][0]}"
