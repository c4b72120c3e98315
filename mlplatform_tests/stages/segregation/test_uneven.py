"""Warnings of sizes, times and groups: when they come, what they say, and when they do not."""

from datetime import date, timedelta

import polars as pl
import pytest

from mlplatform.stages.segregation.dataset import segregate
from mlplatform.stages.segregation.uneven import found

EVEN = pl.Series(["train"] * 400 + ["validation"] * 200 + ["test"] * 200)
HALF = pl.Series([i % 2 for i in range(800)])


def test_an_even_split_has_no_warnings() -> None:
    days = pl.Series("day", [date(2025, 1, 1) + timedelta(days=i // 10) for i in range(800)])
    assert found(EVEN, HALF, time=days, group=pl.Series("id", range(800))) == ()


def test_without_labels_sizes_are_told_alone() -> None:
    part = pl.Series(["train"] * 100 + ["validation"] * 99 + [None])
    assert found(part, None) == ("validation has only 99 rows: its figures will be noise.", "test is empty.")


def test_training_on_what_is_later_is_told() -> None:
    times = [str(date(2025, 1, 1) + timedelta(days=i // 10)) for i in range(800)]
    times[5], times[399] = "2025-02-20", "2025-03-01"
    assert found(EVEN, HALF, time=pl.Series("day", times)) == (
        "2 training rows, up to 2025-03-01, are later than the first of validation, 2025-02-10: the model "
        "has seen the future of what judges it.",
    )


@pytest.mark.parametrize("earlier", [None, "2025-01-01"])
def test_times_that_are_missing_or_equal_do_not_overlap(earlier: str | None) -> None:
    times = pl.Series("day", ["2025-01-01"] * 400 + [earlier] * 200 + [None] * 200, dtype=pl.String)
    assert found(EVEN, HALF, time=times) == ()


def test_a_group_in_two_parts_is_told_with_an_example() -> None:
    tails = [f"N{i:03}" for i in range(800)]
    tails[500], tails[700], tails[701] = "N010", "N010", "N003"
    tails[799] = tails[798]
    assert found(EVEN, HALF, group=pl.Series("tail", tails)) == (
        "2 of 796 groups in 'tail' are in more than one part, such as 'N003' in test and train: what is "
        "learned of a group by heart looks like skill.",
    )


def test_rows_in_no_part_are_in_nobodys_way() -> None:
    part = pl.Series(["train"] * 400 + [None] * 10 + ["validation"] * 200 + ["test"] * 200)
    group = pl.Series("tail", ["a"] * 410 + ["b"] * 200 + ["c"] * 200)
    times = pl.Series("day", [2] * 400 + [1] * 10 + [3] * 400)
    assert found(part, None, time=times, group=group) == ()


def test_options_name_the_columns_to_watch() -> None:
    rows = pl.DataFrame({"id": range(800), "day": range(800), "tail": [i // 2 for i in range(800)]})
    told = {"time": "day", "group": "tail"}
    said = segregate(rows, strategy="random", options=told, keys=["id"], label=None).warnings
    assert [sum(word in line for line in said) for word in ("later than", "in more than one part")] == [2, 1]
    assert segregate(rows, strategy="sequential", options=told, keys=["id"], label=None).warnings == ()
    by_group = segregate(rows, strategy="by_group", options={"group": "tail"}, keys=["id"], label=None)
    assert by_group.warnings == ()
