"""Folds: each row validates once, sizes are equal, what tests stays the same; refusals."""

from typing import Any

import polars as pl
import pytest

from mlplatform.errors import ConfigurationError
from mlplatform.stages.segregation.splits.k_fold import split

ROWS = pl.DataFrame({"id": range(103)})


def test_every_row_validates_in_one_fold_and_trains_in_the_others() -> None:
    parts = [split(ROWS, keys=["id"], folds=4, fold=fold) for fold in range(4)]
    assert sorted(int((part == "validation").sum()) for part in parts) == [25, 26, 26, 26]
    for row in zip(*parts, strict=True):
        assert sorted(row) == ["train", "train", "train", "validation"]


def test_what_is_held_back_is_the_same_for_every_fold() -> None:
    parts = [split(ROWS, keys=["id"], fold=fold, test=0.2) for fold in range(5)]
    held = {tuple(part == "test") for part in parts}
    assert len(held) == 1
    assert sum(held.pop()) == 21
    assert sum(int((part == "validation").sum()) for part in parts) == 82


def test_another_seed_draws_other_folds() -> None:
    first, second = (split(ROWS, keys=["id"], seed=seed) for seed in (1, 2))
    assert not first.equals(second)


@pytest.mark.parametrize(
    "options", [{"folds": 1}, {"folds": 2.0}, {"fold": 5}, {"fold": -1}, {"test": 1.0}, {"seed": None}]
)
def test_values_that_make_no_split_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"got {next(iter(options))}"):
        split(ROWS, keys=["id"], **options)


def test_keys_that_are_not_there_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"got keys \['name'\]; the frame has: id"):
        split(ROWS, keys=["name"])
