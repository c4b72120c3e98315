"""Split in sequence: what comes first trains, shares are exact, refusals."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from mlplatform.errors import ConfigurationError
from mlplatform.stages.segregation.splits.sequential import split


def frame(rows: int = 100) -> pl.DataFrame:
    """Times go against the keys, two rows at each."""
    start = datetime(2025, 3, 1, tzinfo=UTC)
    at = [start - timedelta(hours=i // 2) for i in range(rows)]
    return pl.DataFrame({"id": range(rows), "at": at, "day": [str(each.date()) for each in at]})


def ids(rows: pl.DataFrame, part: pl.Series) -> dict[str, list[int]]:
    return {name: rows.filter(part == name)["id"].to_list() for name in ("train", "validation", "test")}


def test_without_a_time_rows_stand_in_the_order_of_their_keys() -> None:
    found = ids(frame(10), split(frame(10), keys=["id"], validation=0.2, test=0.3))
    assert found == {"train": [0, 1, 2, 3, 4], "validation": [5, 6], "test": [7, 8, 9]}


def test_what_is_earlier_trains_and_keys_decide_between_equal_times() -> None:
    found = ids(frame(10), split(frame(10), keys=["id"], time="at", validation=0.3, test=0.1))
    assert found == {"train": [4, 5, 6, 7, 8, 9], "validation": [0, 2, 3], "test": [1]}


def test_shares_are_of_the_rows_with_a_time() -> None:
    rows = frame().with_columns(at=pl.when(pl.col("id") >= 20).then("at"))
    part = split(rows, keys=["id"], time="at", validation=0.2, test=0.1)
    assert part.filter(rows["at"].is_null()).is_null().all()
    assert dict(part.drop_nulls().value_counts().iter_rows()) == {"train": 56, "validation": 16, "test": 8}


def test_days_as_text_dates_and_numbers_order_alike() -> None:
    days = [date(2025, 1, 1) + timedelta(days=i * 37 % 100) for i in range(100)]
    rows = pl.DataFrame({"id": range(100), "date": days}).with_columns(
        text=pl.col("date").cast(pl.String), number=pl.col("date").to_physical()
    )
    parts = [split(rows, keys=["id"], time=name).to_list() for name in ("date", "text", "number")]
    assert parts[0] == parts[1] == parts[2]


def test_categories_order_as_their_names() -> None:
    names = pl.Series("id", [f"{i * 37 % 100:02}" for i in range(100)])
    text, categories = names.to_frame(), names.cast(pl.Categorical).to_frame()
    assert split(text, keys=["id"]).equals(split(categories, keys=["id"]))


def test_columns_without_an_order_are_refused() -> None:
    rows = frame().with_columns(both=pl.concat_list("id", "id"))
    with pytest.raises(ConfigurationError, match="'both' of type List"):
        split(rows, keys=["id"], time="both")
    with pytest.raises(ConfigurationError, match="got time 'when'; the frame has: id, at, day"):
        split(frame(), keys=["id"], time="when")
    with pytest.raises(ConfigurationError, match="together they must be below 1"):
        split(frame(), keys=["id"], validation=0.5, test=0.5)
