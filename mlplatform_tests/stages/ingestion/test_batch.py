"""Batch ids: a name for content."""

import polars as pl
import pytest

from mlplatform.stages.ingestion.batch import with_batch_ids

ROWS = pl.DataFrame({"id": [1, 2, 3], "price": [1.5, None, 2.0], "partition_key": ["d1", "d1", "d2"]})


def ids(rows: pl.DataFrame, data_set: str = "orders") -> list[str]:
    return with_batch_ids(rows, data_set)["batch_id"].to_list()


def test_one_id_per_partition_and_the_rows_unchanged() -> None:
    first, second, third = ids(ROWS)
    assert first == second != third
    assert all(len(name) == 24 and int(name, 16) >= 0 for name in (first, third))
    assert with_batch_ids(ROWS, "orders").drop("batch_id").equals(ROWS, null_equal=True)


def test_the_same_content_has_the_same_id_whatever_it_came_with() -> None:
    assert ids(ROWS.head(2)) == ids(ROWS)[:2]
    assert ids(ROWS.clone()) == ids(ROWS)


@pytest.mark.parametrize(
    "other",
    [
        ROWS.with_columns(price=pl.Series([1.5, 0.0, 2.0])),
        ROWS.with_columns(id=pl.Series([2, 1, 3])),
        ROWS.rename({"price": "prize"}),
        pl.concat([ROWS, ROWS.head(1)]),
    ],
)
def test_other_content_has_another_id(other: pl.DataFrame) -> None:
    assert ids(other)[0] != ids(ROWS)[0]
    assert ids(other)[2] == ids(ROWS)[2] or "prize" in other.columns


def test_data_set_and_partition_are_part_of_the_name() -> None:
    assert ids(ROWS, "returns")[0] != ids(ROWS)[0]
    moved = ROWS.with_columns(partition_key=pl.lit("d9"))
    assert ids(moved.head(2))[0] != ids(ROWS)[0]


def test_rows_without_days_are_one_batch() -> None:
    assert len(set(ids(ROWS.drop("partition_key")))) == 1


def test_no_rows() -> None:
    assert with_batch_ids(ROWS.clear(), "orders").schema == with_batch_ids(ROWS, "orders").schema
    assert with_batch_ids(ROWS.clear().drop("partition_key"), "orders").columns == ["id", "price", "batch_id"]
