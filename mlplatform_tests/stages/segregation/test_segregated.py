"""Rows with their parts: with or without labels, in order or shuffled."""

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mlplatform.errors import ConfigurationError
from mlplatform.stages.segregation.dataset import PARTS
from mlplatform.stages.segregation.segregated import Segregated, divide

ROWS = pl.DataFrame(
    {"id": range(500), "x": [i / 7 for i in range(500)], "late": [None, *[i % 3 == 0 for i in range(499)]]}
)


def divided(label: str | None = "late", **options: object) -> Segregated:
    return divide(ROWS, strategy="sequential", options=options, keys=["id"], label=label)


def test_training_and_evaluation_get_their_rows() -> None:
    segregated = divided()
    assert_frame_equal(segregated.part("train"), ROWS[1:350])
    assert_frame_equal(segregated.part("validation"), ROWS[350:425])
    assert_frame_equal(segregated.part("test", labels=False), ROWS[425:].drop("late"))
    assert segregated.split.unlabelled == 1


def test_id_and_warnings_come_with_the_rows() -> None:
    segregated = divided()
    assert segregated.id == segregated.split.id
    assert segregated.warnings == tuple(
        f"{part} has only 75 rows: its figures will be noise." for part in PARTS[1:]
    )


def test_the_rows_of_all_parts_come_with_the_part() -> None:
    rows = divided().rows()
    assert rows.columns == ["id", "x", "late", "part"]
    assert_frame_equal(rows.drop("part"), ROWS[1:])
    assert divided().rows(labels=False).columns == ["id", "x", "part"]


def test_shuffled_within_each_part() -> None:
    plain, shuffled, other = (
        divided(**options) for options in ({}, {"shuffle_within": True}, {"shuffle_within": True, "seed": 5})
    )
    for part in PARTS:
        before, after = plain.part(part), shuffled.part(part)
        assert not before.equals(after)
        assert_frame_equal(before, after.sort("id"))
        assert not after.equals(other.part(part))
        assert_frame_equal(shuffled.rows().filter(part=part).drop("part"), after)
    assert len({plain.id, shuffled.id, other.id}) == 3


def test_without_a_label_no_row_is_left_out() -> None:
    segregated = divided(label=None)
    assert sum(segregated.split.counts().values()) == 500
    assert segregated.part("train", labels=False).columns == ["id", "x", "late"]


def test_a_part_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="got part 'training'; allowed: train, validation, test"):
        divided().part("training")


def test_a_label_of_not_a_number_is_none() -> None:
    rows = pl.DataFrame({"id": [1, 2, 3, 4], "y": [1.5, float("nan"), None, 2.0]})
    segregated = divide(rows, strategy="sequential", options={}, keys=["id"], label="y")
    assert segregated.split.unlabelled == 2
    assert segregated.rows()["id"].to_list() == [1, 4]


def test_a_key_called_part_is_refused_and_a_column_gives_way() -> None:
    rows = ROWS.rename({"x": "part"})
    with pytest.raises(ConfigurationError, match="allowed: any name but part"):
        divide(rows, strategy="random", options={}, keys=["id", "part"], label="late")
    found = divide(rows, strategy="sequential", options={}, keys=["id"], label="late")
    assert found.part("train")["part"].dtype == pl.Float64
    assert found.rows()["part"].unique().sort().to_list() == ["test", "train", "validation"]
