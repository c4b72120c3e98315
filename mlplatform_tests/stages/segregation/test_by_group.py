"""Split by group: groups stay whole, shares are near, refusals."""

import polars as pl
import pytest

from mlplatform.errors import ConfigurationError
from mlplatform.stages.segregation.splits.by_group import split


def frame(groups: int = 200, rows: int = 4000) -> pl.DataFrame:
    """Group 0 has the most rows, the last the fewest."""
    return pl.DataFrame({"tail": [int((i / rows) ** 2 * groups) for i in range(rows)]})


def shares(part: pl.Series) -> dict[str, float]:
    return {name: float((part == name).mean() or 0) for name in ("train", "validation", "test")}


def test_no_group_is_in_two_parts() -> None:
    rows = frame().with_columns(part=split(frame(), group="tail"))
    assert rows.group_by("tail").agg(pl.col("part").n_unique())["part"].to_list() == [1] * 200


def test_shares_are_kept_as_well_as_groups_allow() -> None:
    largest = frame()["tail"].value_counts()["count"].max()
    assert isinstance(largest, int)
    for seed in range(5):
        found = shares(split(frame(), group="tail", seed=seed, validation=0.2, test=0.1))
        assert found == pytest.approx({"train": 0.7, "validation": 0.2, "test": 0.1}, abs=largest / 4000)


def test_three_groups_fill_three_parts() -> None:
    rows = pl.DataFrame({"tail": ["a", "b", "c", "c", "b", "b"]})
    assert set(split(rows, group="tail")) == {"train", "validation", "test"}


def test_rows_without_a_group_are_in_no_part() -> None:
    rows = pl.DataFrame({"tail": ["a", None, "b", None, "c"]})
    assert split(rows, group="tail").is_null().to_list() == [False, True, False, True, False]


def test_another_seed_draws_other_groups() -> None:
    first, second = (split(frame(), group="tail", seed=seed) for seed in (1, 2))
    assert 0.2 < (first != second).mean() < 0.6


def test_a_draw_stays_what_it_was_when_published() -> None:
    rows = pl.DataFrame({"tail": ["a", "b", "c", "d", "e"]})
    assert split(rows, group="tail", validation=0.2, test=0.2).to_list() == PUBLISHED


PUBLISHED = ["validation", "train", "train", "train", "test"]


@pytest.mark.parametrize(
    "options", [{"group": "tale"}, {"seed": "1"}, {"validation": 1}, {"test": float("nan")}]
)
def test_values_that_make_no_split_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=f"got {next(iter(options))}"):
        split(frame(), **{"group": "tail"} | options)  # type: ignore[arg-type]
