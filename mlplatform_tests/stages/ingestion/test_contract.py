"""Contracts: rows that break a rule are counted by rule and set aside, the others are kept as they were."""

import dataframely as dy
import polars as pl
from polars.testing import assert_frame_equal

from mlplatform.stages.ingestion.contract import check, schema_of


class Orders(dy.Schema):
    order_id = dy.Int64(primary_key=True, min=1)
    warehouse = dy.String(regex="^[A-Z]{3}$")
    price = dy.Float64(nullable=True, max=100)

    @dy.rule()
    def free_only_from_ham(cls) -> pl.Expr:
        return (pl.col("price") > 0) | (pl.col("warehouse") == "HAM")


def rows(*values: tuple[int | None, str | None, float | None]) -> pl.DataFrame:
    frame = pl.DataFrame(list(values), schema=schema_of(Orders), orient="row")
    return frame.with_columns(batch_id=pl.lit("b"), place=pl.int_range(pl.len()))


def test_the_schema_is_columns_and_types_in_order() -> None:
    assert list(schema_of(Orders).items()) == [
        ("order_id", pl.Int64),
        ("warehouse", pl.String),
        ("price", pl.Float64),
    ]


def test_sound_rows_are_kept_with_their_other_columns() -> None:
    sound = rows((1, "HAM", None), (2, "LYS", 3.5), (3, "HAM", 0.0))
    checked = check(sound, Orders)
    assert_frame_equal(checked.good, sound)
    assert (checked.broken, checked.rejected) == ({}, 0)


def test_rows_that_break_a_rule_are_counted_by_rule_and_left_out() -> None:
    delivered = rows(
        (1, "HAM", 1.0),
        (0, "HAM", 1.0),
        (2, "Ham", 1.0),
        (3, "LYS", 101.0),
        (4, "LYS", 0.0),
        (5, None, 1.0),
        (6, "WAW", 7.0),
    )
    checked = check(delivered, Orders)
    assert checked.good["place"].to_list() == [0, 6]
    assert checked.rejected == 5
    assert checked.broken == {
        "order_id|min": 1,
        "warehouse|regex": 1,
        "warehouse|nullability": 1,
        "price|max": 1,
        "free_only_from_ham": 1,
    }


def test_a_row_that_breaks_two_rules_is_one_rejected_row() -> None:
    checked = check(rows((0, "nowhere", 1.0), (1, "HAM", 1.0)), Orders)
    assert (checked.rejected, sum(checked.broken.values())) == (1, 2)


def test_a_repeated_key_rejects_every_row_that_has_it() -> None:
    checked = check(rows((1, "HAM", 1.0), (1, "LYS", 2.0), (1, "LYS", 2.0), (2, "HAM", None)), Orders)
    assert checked.good["place"].to_list() == [3]
    assert checked.broken == {"primary_key": 3}
    assert checked.rejected == 3


def test_nothing_delivered() -> None:
    checked = check(rows().head(0), Orders)
    assert checked.good.is_empty()
    assert checked.rejected == 0
