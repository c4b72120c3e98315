"""Windows of drift: equal parts of a month between one and four weeks, each day in one of them."""

from dataclasses import dataclass, field
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from mlplatform.offline.drift_windows import FIRST, LAST, Window, newest, span, windows
from mlplatform.stages.monitoring.drift_null import LONGEST, SHORTEST


@dataclass
class Declared:
    """As much of a declaration as windows look at."""

    first: str
    as_of: str
    last: str
    window_days: int = 14
    config: Any = field(init=False)

    def __post_init__(self) -> None:
        first, as_of, last = map(date.fromisoformat, (self.first, self.as_of, self.last))
        self.config = SimpleNamespace(
            days=SimpleNamespace(first=first, last=last),
            split=SimpleNamespace(as_of=as_of),
            drift=SimpleNamespace(window_days=self.window_days),
        )


def lengths(declared: Any, month: str) -> list[int]:
    return [window.days for window in windows(declared, month)]


@pytest.mark.parametrize("window_days", range(SHORTEST, LONGEST + 1))
def test_every_day_of_every_month_is_in_one_window_of_one_to_four_weeks(window_days: int) -> None:
    year: Any = Declared("2023-01-01", "2024-01-01", "2024-12-31", window_days)
    found = [window for month in range(1, 13) for window in windows(year, f"2024-{month:02}-01")]
    days = [window.first + timedelta(days=n) for window in found for n in range(window.days)]
    assert days == [date(2024, 1, 1) + timedelta(days=n) for n in range(366)]
    assert all(SHORTEST <= window.days <= LONGEST for window in found)


def test_fortnights_are_halves_of_a_month() -> None:
    year: Any = Declared("2013-01-01", "2013-10-01", "2013-12-31")
    assert list(map(str, windows(year, "2013-10-01"))) == [
        "2013-10-01 to 2013-10-15",
        "2013-10-16 to 2013-10-31",
    ]
    weeks: Any = Declared("2013-01-01", "2013-10-01", "2013-12-31", 7)
    assert lengths(weeks, "2013-10-01") == [7, 8, 8, 8]


def test_a_month_of_few_days_has_a_week_that_begins_before_it() -> None:
    late: Any = Declared("2025-03-01", "2025-03-29", "2025-05-02")
    assert windows(late, "2025-03-01") == [Window(date(2025, 3, 25), date(2025, 3, 31))]
    assert windows(late, "2025-05-01") == [Window(date(2025, 4, 26), date(2025, 5, 2))]
    short: Any = Declared("2025-03-28", "2025-03-29", "2025-03-31")
    assert windows(short, "2025-03-01") == [Window(date(2025, 3, 28), date(2025, 3, 31))]


def test_the_newest_window_of_a_report_and_of_which_days_it_is() -> None:
    report = pl.DataFrame(
        {
            "feature": ["a", "b", "a", "b"],
            FIRST: ["2025-04-08", "2025-04-08", "2025-04-19", "2025-04-19"],
            LAST: ["2025-04-18", "2025-04-18", "2025-04-29", "2025-04-29"],
            "partition_key": ["2025-04-01"] * 4,
        }
    )
    assert newest(report).rows() == report.rows()[2:]
    assert span(newest(report)) == "2025-04-19 to 2025-04-29"
    for before in (report.drop(FIRST, LAST), report.with_columns(pl.lit(None, pl.String).alias(LAST))):
        assert newest(before).height == 4
        assert span(before) == "2025-04"
