"""Rolling origin: where the windows of each fold lie, and what is refused."""

from typing import Any

import polars as pl
import pytest

from mlplatform.errors import ConfigurationError
from mlplatform.stages.segregation.splits import by_time
from mlplatform.stages.segregation.splits.rolling_origin import split
from mlplatform_tests.stages.segregation.test_by_time import borders, days


def windows(**options: Any) -> dict[str, tuple[str, str]]:
    part = split(days(), **{"time": "day", "as_of": "2013-10-01"} | options)
    return borders(days(), part)


def test_the_last_fold_is_the_split_by_time() -> None:
    rolled = split(days(), time="day", as_of="2013-10-01", test="2mo")
    assert rolled.equals(by_time.split(days(), time="day", as_of="2013-10-01"))


def test_train_expands_and_validations_follow_each_other() -> None:
    assert [windows(fold=fold) for fold in range(3)] == [
        {"train": ("2013-01-01", "2013-07-31"), "validation": ("2013-08-01", "2013-08-31")},
        {"train": ("2013-01-01", "2013-08-31"), "validation": ("2013-09-01", "2013-09-30")},
        {"train": ("2013-01-01", "2013-09-30"), "validation": ("2013-10-01", "2013-10-31")},
    ]


def test_train_slides_with_the_origin() -> None:
    assert windows(fold=0, window="28d", step="2w")["train"] == ("2013-08-06", "2013-09-02")
    assert windows(fold=2, window="28d", step="2w")["train"] == ("2013-09-03", "2013-09-30")


def test_a_gap_is_left_out_on_both_sides_of_validation() -> None:
    assert windows(validation="2w", test="1w", gap="3d") == {
        "train": ("2013-01-01", "2013-09-30"),
        "validation": ("2013-10-04", "2013-10-17"),
        "test": ("2013-10-21", "2013-10-27"),
    }


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"folds": 0}, "got folds 0; allowed: a whole number from 1 to 1000"),
        ({"fold": 3}, "got fold 3; allowed: a whole number from 0 to 2"),
        ({"step": "monthly"}, "got step 'monthly'"),
        ({"window": "0d"}, "got window '0d'"),
        ({"validation": None}, "got validation None"),
        ({"as_of": "soon"}, "got as_of 'soon'"),
        ({"time": "when"}, "got time column 'when'"),
        ({"fold": 0, "folds": 1000, "step": "9y"}, "leads out of the calendar"),
    ],
)
def test_values_that_make_no_split_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        windows(**options)


def test_an_empty_frame_has_no_parts() -> None:
    empty = pl.DataFrame(schema={"day": pl.Date})
    assert split(empty, time="day", as_of="2013-10-01").len() == 0
