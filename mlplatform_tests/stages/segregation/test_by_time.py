"""Split by time: where the borders lie and what is refused."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from mlplatform.errors import ConfigurationError
from mlplatform.stages.segregation.splits.by_time import split


def days(first: date = date(2013, 1, 1), count: int = 365) -> pl.DataFrame:
    return pl.DataFrame({"day": [first + timedelta(days=i) for i in range(count)]})


def borders(frame: pl.DataFrame, part: pl.Series) -> dict[str, tuple[str, str]]:
    grouped = frame.with_columns(part=part).drop_nulls("part").group_by("part")
    rows = grouped.agg(first=pl.col("day").min(), last=pl.col("day").max()).iter_rows(named=True)
    return {row["part"]: (str(row["first"]), str(row["last"])) for row in rows}


def test_october_validates_and_november_and_december_test() -> None:
    frame = days()
    part = split(frame, time="day", as_of=date(2013, 10, 1), validation="1mo", test="2mo")
    assert borders(frame, part) == {
        "train": ("2013-01-01", "2013-09-30"),
        "validation": ("2013-10-01", "2013-10-31"),
        "test": ("2013-11-01", "2013-12-31"),
    }


def test_days_after_the_test_part_belong_to_no_part() -> None:
    frame = days()
    part = split(frame, time="day", as_of="2013-02-01", validation="28d", test="2w")
    assert borders(frame, part)["test"] == ("2013-03-01", "2013-03-14")
    assert part.filter(frame["day"] > date(2013, 3, 14)).is_null().all()


@pytest.mark.parametrize("as_of", [date(2013, 6, 1), datetime(2013, 6, 1, 12, tzinfo=UTC), "2013-06-01"])
def test_days_strings_and_timestamps_agree(as_of: date | str) -> None:
    expected = split(days(), time="day", as_of="2013-06-01")
    for column in (
        pl.col("day").cast(pl.String),
        pl.col("day").cast(pl.Datetime("us", "UTC")) + pl.duration(hours=23, minutes=59),
        pl.col("day").cast(pl.Datetime("us")),
    ):
        assert split(days().select(day=column), time="day", as_of=as_of).equals(expected)


def test_a_zoned_timestamp_counts_by_its_utc_day() -> None:
    late_evening = datetime(2013, 9, 30, 22, tzinfo=UTC) + timedelta(hours=3)
    frame = pl.DataFrame({"at": [late_evening]}, schema={"at": pl.Datetime("us", "UTC")})
    zoned = frame.select(pl.col("at").dt.convert_time_zone("America/New_York"))
    assert split(zoned, time="at", as_of="2013-10-01").to_list() == ["validation"]


def test_a_row_without_a_time_belongs_to_no_part() -> None:
    frame = pl.DataFrame({"key": ["2013-01-01", None, "soon"]})
    assert split(frame, time="key", as_of="2013-10-01").to_list() == ["train", None, None]


@pytest.mark.parametrize("length", ["", "1", "mo", "0d", "-1d", "1 month", "1h", 30, None])
def test_a_length_that_cannot_be_read_is_refused(length: str) -> None:
    with pytest.raises(ConfigurationError, match="got validation"):
        split(days(), time="day", as_of="2013-10-01", validation=length)


@pytest.mark.parametrize("as_of", ["October", "2013-13-01", 20131001])
def test_a_day_that_cannot_be_read_is_refused(as_of: str) -> None:
    with pytest.raises(ConfigurationError, match="YYYY-MM-DD"):
        split(days(), time="day", as_of=as_of)


def test_a_column_that_holds_no_time_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="the frame has: day"):
        split(days(), time="date", as_of="2013-10-01")
    with pytest.raises(ConfigurationError, match="Int64"):
        split(pl.DataFrame({"day": [1]}), time="day", as_of="2013-10-01")


def test_a_gap_is_left_out_before_validation_and_before_test() -> None:
    part = split(days(), time="day", as_of="2013-10-01", validation="1w", test="1w", gap="1d")
    assert borders(days(), part) == {
        "train": ("2013-01-01", "2013-09-30"),
        "validation": ("2013-10-02", "2013-10-08"),
        "test": ("2013-10-10", "2013-10-16"),
    }
    with pytest.raises(ConfigurationError, match="got gap 'a day'"):
        split(days(), time="day", as_of="2013-10-01", gap="a day")


def test_there_may_be_no_test_part() -> None:
    part = split(days(), time="day", as_of="2013-10-01", validation="1w", test=None)
    assert set(borders(days(), part)) == {"train", "validation"}


def test_a_length_that_leads_out_of_the_calendar_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="leads out of the calendar"):
        split(days(), time="day", as_of="2013-10-01", test="99999y")
