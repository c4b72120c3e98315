"""What people see of the condition of data: the table, and pictures that can be drawn."""

import polars as pl
import pytest

from mlplatform.offline.condition_view import MOST_LINES, missing_picture, table, trend_picture
from mlplatform.stages.evaluation.pictures import draw
from mlplatform.stages.preparation.condition import condition
from mlplatform_tests.stages.preparation.real_weather import weather

STORM = "2013-02-12"


@pytest.fixture(scope="module")
def conditions() -> pl.DataFrame:
    return condition(weather().filter(pl.col("partition_key") <= STORM))


def test_the_table_is_of_the_last_partition(conditions: pl.DataFrame) -> None:
    shown = table(conditions)
    assert shown["partition"].unique().to_list() == [STORM]
    assert shown["column"].to_list() == [name for name in weather().columns if name != "partition_key"]
    wind = shown.filter(column="wind_speed").row(0, named=True)
    assert (wind["range"], wind["outliers"], wind["trend"]) == ("4.60312 … 1048.36", 1, 3.2)
    assert shown.filter(column="wind_gust")["missing %"].item() == 51.39
    assert table(conditions, partitions=2)["partition"].n_unique() == 2


def test_long_texts_are_cut_in_the_table() -> None:
    shown = table(condition(pl.DataFrame({"x": ["a" * 100, None], "y": [None, None]})))
    assert shown["range"].to_list() == ["a" * 23 + "… … " + "a" * 23 + "…", ""]


def test_missing_values_are_bars(conditions: pl.DataFrame) -> None:
    picture = missing_picture(conditions)
    assert picture is not None
    assert picture.bars[0].label == "wind_gust"
    assert [bar.value for bar in picture.bars] == sorted((bar.value for bar in picture.bars), reverse=True)
    assert "columns are complete" in picture.x_label
    assert draw(picture).startswith(b"\x89PNG")


def test_the_columns_that_moved_furthest_are_lines(conditions: pl.DataFrame) -> None:
    picture = trend_picture(conditions)
    assert picture is not None
    assert len(picture.lines) == MOST_LINES
    assert (picture.lines[0].label, picture.lines[0].figure) == ("wind_speed", "+3.2")
    assert picture.ticks[0][1] == "2013-01-08"
    assert draw(picture).startswith(b"\x89PNG")


@pytest.mark.parametrize("rows", [0, 3])
def test_nothing_to_draw(rows: int) -> None:
    frame = pl.DataFrame({"x": list(range(rows))}, schema={"x": pl.Int64})
    assert missing_picture(condition(frame)) is None
    assert trend_picture(condition(frame)) is None
    assert table(condition(frame)).height == 1


def test_the_first_partition_with_a_trend_can_be_drawn() -> None:
    keys = [f"2013-01-{day:02}" for day in range(1, 9)]
    picture = trend_picture(condition(pl.DataFrame({"partition_key": keys, "x": range(8)})))
    assert picture is not None
    assert draw(picture).startswith(b"\x89PNG")


def test_hardly_missing_is_not_none() -> None:
    picture = missing_picture(condition(pl.DataFrame({"x": [None, *range(2000)]})))
    assert picture is not None
    assert picture.bars[0].text == "< 0.1 %"
    assert picture.x_label == "% of the rows"
