"""Contracts: rows that break a rule are set aside with the rule's name, the others are kept as they were."""

import dataframely as dy
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
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
    assert (checked.broken, checked.rejected.height) == ({}, 0)
    assert checked.rejected.schema == {**sound.schema, "reason": pl.String}


def test_rows_that_break_a_rule_are_counted_by_rule_and_set_aside_with_its_name() -> None:
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
    assert checked.rejected.select("place", "reason").rows() == [
        (1, "rule: order_id|min"),
        (2, "rule: warehouse|regex"),
        (3, "rule: price|max"),
        (4, "rule: free_only_from_ham"),
        (5, "rule: warehouse|nullability"),
    ]
    assert_frame_equal(checked.rejected.drop("reason"), delivered.filter(pl.col("place").is_between(1, 5)))
    assert checked.broken == {
        "order_id|min": 1,
        "warehouse|regex": 1,
        "warehouse|nullability": 1,
        "price|max": 1,
        "free_only_from_ham": 1,
    }


def test_a_row_that_breaks_two_rules_is_one_rejected_row() -> None:
    checked = check(rows((0, "nowhere", 1.0), (1, "HAM", 1.0)), Orders)
    assert (checked.rejected.height, sum(checked.broken.values())) == (1, 2)


def test_wrong_rows_that_are_alike_are_all_set_aside() -> None:
    checked = check(rows((0, "HAM", None), (1, "HAM", 1.0), (0, "HAM", None)), Orders)
    assert checked.rejected["place"].to_list() == [0, 2]
    assert checked.good["place"].to_list() == [1]


def test_a_repeated_key_rejects_every_row_that_has_it() -> None:
    checked = check(rows((1, "HAM", 1.0), (1, "LYS", 2.0), (1, "LYS", 2.0), (2, "HAM", None)), Orders)
    assert checked.good["place"].to_list() == [3]
    assert checked.broken == {"primary_key": 3}
    assert checked.rejected["reason"].to_list() == ["rule: primary_key"] * 3


def test_a_key_is_unique_within_its_partition_only() -> None:
    delivered = rows((1, "HAM", 1.0), (2, "LYS", 2.0), (1, "LYS", 2.0), (2, "WAW", 1.0), (2, "HAM", 1.0))
    parts = delivered.with_columns(partition_key=pl.Series(["d1", "d1", "d2", "d2", "d2"]))
    checked = check(parts, Orders)
    assert checked.good["place"].to_list() == [0, 1, 2]
    assert checked.rejected["place"].to_list() == [3, 4]
    assert checked.broken == {"primary_key": 2}


@given(
    st.lists(
        st.tuples(
            st.integers(0, 4),
            st.sampled_from(["HAM", "LYS", "ham", None]),
            st.sampled_from([None, 0.0, -0.0, float("nan"), 1.0, 200.0]),
            st.sampled_from(["d1", "d2"]),
        ),
        max_size=25,
    )
)
@settings(max_examples=50, deadline=None)
def test_a_day_is_judged_within_a_range_as_it_is_alone(
    values: list[tuple[int, str | None, float | None, str]],
) -> None:
    delivered = rows(*(row[:3] for row in values)).with_columns(
        partition_key=pl.Series([row[3] for row in values], dtype=pl.String)
    )
    together = check(delivered, Orders)
    assert sorted([*together.good["place"], *together.rejected["place"]]) == list(range(len(values)))
    for key in ("d1", "d2"):
        alone = check(delivered.filter(partition_key=key), Orders)
        assert_frame_equal(together.good.filter(partition_key=key), alone.good)
        assert_frame_equal(
            together.rejected.filter(partition_key=key).drop("reason"), alone.rejected.drop("reason")
        )


def test_nothing_delivered() -> None:
    checked = check(rows().head(0), Orders)
    assert checked.good.is_empty()
    assert checked.rejected.is_empty()
