"""Stratified split: equal shares of every level, of labels that are numbers too; refusals."""

from typing import Any

import polars as pl
import pytest

from mlplatform.errors import ConfigurationError
from mlplatform.stages.segregation.splits.stratified import split


def frame(rows: int = 1000) -> pl.DataFrame:
    """A class that one row in a hundred has, and a number without equals."""
    return pl.DataFrame(
        {
            "id": range(rows),
            "kind": ["rare" if i % 100 == 0 else "often" for i in range(rows)],
            "delay": [i * 7919 % rows / 3 for i in range(rows)],
            "place": [f"{i // 3}" for i in range(rows)],
        }
    )


def counts(rows: pl.DataFrame, column: str, **options: Any) -> dict[Any, dict[str, int]]:
    part = split(rows, keys=["id"], **{"label": column, "validation": 0.2, "test": 0.1} | options)
    grouped = rows.select(level=column, part=part).group_by("level", "part").len()
    found: dict[Any, dict[str, int]] = {}
    for level, name, number in grouped.iter_rows():
        found.setdefault(level, {})[name] = number
    return found


def test_every_class_has_the_same_shares() -> None:
    assert counts(frame(), "kind") == {
        "rare": {"train": 7, "validation": 2, "test": 1},
        "often": {"train": 693, "validation": 198, "test": 99},
    }


def test_another_column_may_have_the_levels() -> None:
    assert counts(frame(), "kind", label="delay", by="kind")["rare"]["validation"] == 2


def test_a_number_has_the_same_spread_in_every_part() -> None:
    part = split(frame(), keys=["id"], label="delay")
    means = [frame()["delay"].filter(part == name).mean() for name in ("train", "validation", "test")]
    assert means == pytest.approx([166.5] * 3, rel=0.03)


def test_small_classes_get_their_shares_together() -> None:
    part = split(frame(999), keys=["id"], label="place", validation=0.2, test=0.1)
    assert dict(part.value_counts().iter_rows()) == {"train": 699, "validation": 200, "test": 100}
    assert (
        max(sum(each.values()) - each.get("train", 0) for each in counts(frame(999), "place").values()) <= 2
    )


def test_a_missing_level_is_a_level() -> None:
    rows = frame().with_columns(kind=pl.when(pl.col("id") % 4 > 0).then("kind"))
    assert counts(rows, "kind")[None] == {"train": 175, "validation": 50, "test": 25}


def test_categories_are_as_their_names() -> None:
    rows = frame().with_columns(pl.col("kind").cast(pl.Categorical))
    assert split(rows, keys=["id"], label="kind").equals(split(frame(), keys=["id"], label="kind"))


def test_another_seed_draws_other_rows() -> None:
    first, second = (split(frame(), keys=["id"], label="kind", seed=seed) for seed in (1, 2))
    assert 0.2 < (first != second).mean() < 0.6


def test_without_a_label_a_column_has_to_be_named() -> None:
    with pytest.raises(ConfigurationError, match="neither a label nor `by`"):
        split(frame(), keys=["id"], label=None)
    assert split(frame(), keys=["id"], label=None, by="kind").len() == 1000


@pytest.mark.parametrize("options", [{"by": "sort"}, {"bins": 1}, {"seed": 0.5}, {"test": 0}])
def test_values_that_make_no_split_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"got {next(iter(options))}"):
        split(frame(), keys=["id"], label="kind", **options)
