"""Repairs: what each rule does, that every changed cell is counted, and which declarations are refused."""

import math
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from mlplatform.errors import ConfigurationError
from mlplatform.stages.preparation.repairs import COUNTS_SCHEMA, Repair, apply, check_repair
from mlplatform_tests.stages.preparation.real_weather import weather

SCHEMA = pl.Schema(
    {
        "partition_key": pl.String(),
        "x": pl.Float64(),
        "n": pl.Int32(),
        "text": pl.String(),
        "yes": pl.Boolean(),
        "day": pl.Date(),
    }
)


def made(values: list[object], dtype: Any = None, **rule: Any) -> tuple[list[object], int]:
    """The column after one repair, and its count."""
    repaired = apply(pl.DataFrame({"x": pl.Series(values, dtype=dtype)}), [Repair(column="x", **rule)])
    assert repaired.frame["x"].dtype == (dtype or pl.Series(values).dtype)
    return repaired.frame["x"].to_list(), int(repaired.counts["repaired"].sum())


@pytest.mark.parametrize(
    ("values", "rule", "expected", "count"),
    [
        ([1.0, 300.0, None], {"above": 200, "to": "missing"}, [1.0, None, None], 1),
        ([-1.0, 0.0, 2.0], {"below": 0, "to": 0}, [0.0, 0.0, 2.0], 1),
        ([-1, 0, 20], {"above": 10, "to": "limit"}, [-1, 0, 10], 1),
        ([2, 3, 4], {"above": 2.5, "to": 0}, [2, 0, 0], 2),
        ([2, 3, 4], {"below": 2.5, "to": "missing"}, [None, 3, 4], 1),
        ([2**62, 2**62 + 1], {"above": 2**62, "to": 0}, [2**62, 0], 1),
        ([math.inf, -math.inf], {"above": 5, "to": "limit"}, [5.0, -math.inf], 1),
        ([" a ", "b", None, "\t"], {"trim": True}, ["a", "b", None, ""], 2),
        (["ua", "AA"], {"upper": True}, ["UA", "AA"], 1),
        (["ua", "AA"], {"lower": True}, ["ua", "aa"], 1),
        (["N/A", "old", "x", None], {"replace": {"N/A": None, "old": "new"}}, [None, "new", "x", None], 2),
        (["a", "b"], {"replace": {"a": "b", "b": "a"}}, ["b", "a"], 2),
        (["a"], {"replace": {"a": "a"}}, ["a"], 0),
        ([-999, 1], {"replace": {-999: None}}, [None, 1], 1),
        ([1.0, None, math.nan], {"fill": 7}, [1.0, 7.0, 7.0], 2),
        ([1, None], {"fill": 0}, [1, 0], 1),
        (["a", None], {"fill": "?"}, ["a", "?"], 1),
        ([True, None], {"fill": False}, [True, False], 1),
    ],
)
def test_every_rule(values: list[object], rule: dict[str, Any], expected: list[object], count: int) -> None:
    assert made(values, **rule) == (expected, count)


def test_not_a_number_is_beyond_no_bound() -> None:
    (value,), count = made([math.nan], above=1, to="missing")
    assert math.isnan(value)  # type: ignore[arg-type]
    assert count == 0


@pytest.mark.parametrize("dtype", [pl.Float32, pl.UInt8, pl.Int16])
def test_the_type_is_kept(dtype: Any) -> None:
    assert made([1, 2, 100], dtype, above=50, to="limit") == ([1, 2, 50], 1)


def test_two_repairs_of_one_column_are_made_in_order() -> None:
    frame = pl.DataFrame({"partition_key": ["b", "a", "b"], "x": [500.0, None, 1.0]})
    rules = [Repair(column="x", above=200, to="missing"), Repair(column="x", fill=0)]
    repaired = apply(frame, rules)
    assert repaired.frame["x"].to_list() == [0, 0, 1]
    assert repaired.counts.rows() == [
        ("a", "x", "above 200 → missing", 0),
        ("a", "x", "missing → 0", 1),
        ("b", "x", "above 200 → missing", 1),
        ("b", "x", "missing → 0", 1),
    ]
    assert repaired.counts.schema == COUNTS_SCHEMA


def test_no_repairs_no_counts() -> None:
    frame = pl.DataFrame({"x": [1]})
    repaired = apply(frame, [])
    assert_frame_equal(repaired.frame, frame)
    assert (repaired.counts.schema, repaired.counts.height) == (COUNTS_SCHEMA, 0)


def test_rules_in_words() -> None:
    assert Repair(column="x", below=0.5, to=1).words == "below 0.5 → 1"
    assert Repair(column="x", replace={"N/A": None, "a": "b"}).words == "replace N/A → missing, a → b"
    assert Repair(column="x", upper=True).words == "upper case"
    assert Repair(column="x", trim=True).words == "trim"


def test_the_one_impossible_wind_of_the_real_weather() -> None:
    repaired = apply(weather(), [Repair(column="wind_speed", above=200, to="missing")])
    changed = repaired.counts.filter(pl.col("repaired") > 0)
    assert changed.rows() == [("2013-02-12", "wind_speed", "above 200 → missing", 1)]
    assert repaired.counts.height == weather()["partition_key"].n_unique()
    assert repaired.frame["wind_speed"].max() < 50  # type: ignore[operator]


rows = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.none() | st.floats(),
        st.none() | st.integers(-5, 300),
        st.none() | st.sampled_from(["N/A", " x", "x", "old", "ÀB", "ß"]),
        st.none() | st.booleans(),
    ),
    max_size=30,
)
bounds = st.integers(-3, 250)
idempotent = st.one_of(
    st.builds(lambda at: Repair(column="x", above=at, to="missing"), bounds),
    st.builds(lambda at: Repair(column="x", below=at + 0.1, to="limit"), bounds),
    st.builds(lambda at: Repair(column="n", above=at + 0.5, to=at), bounds),
    st.builds(lambda at: Repair(column="n", below=at, to="limit"), bounds),
    st.builds(lambda to: Repair(column="x", fill=to), st.floats(allow_nan=False, allow_infinity=False)),
    st.builds(lambda to: Repair(column="yes", fill=to), st.booleans()),
    st.sampled_from(
        [
            Repair(column="text", trim=True),
            Repair(column="text", upper=True),
            Repair(column="text", lower=True),
            Repair(column="text", replace={"N/A": None, "old": "new"}),
            Repair(column="n", replace={0: None, 7: 8}),
        ]
    ),
)
swaps = st.just(Repair(column="text", replace={"x": "old", "old": "x"}))


def framed(cells: list[tuple[Any, ...]]) -> pl.DataFrame:
    schema = {name: dtype for name, dtype in SCHEMA.items() if name != "day"}
    return pl.DataFrame(cells, schema=schema, orient="row")


def same(old: object, new: object) -> bool:
    both = isinstance(old, float) and isinstance(new, float) and math.isnan(old) and math.isnan(new)
    return both or ((old is None) == (new is None) and old == new)


@settings(max_examples=150, deadline=None)
@given(rows, st.lists(idempotent | swaps, max_size=4))
def test_counts_are_the_changed_cells(cells: list[tuple[Any, ...]], rules: list[Repair]) -> None:
    frame = framed(cells)
    before = frame.clone()
    repaired = apply(frame, rules)
    assert_frame_equal(frame, before, check_exact=True)
    assert repaired.frame.schema == frame.schema
    for place, rule in enumerate(rules):
        old, new = (apply(frame, rules[:upto]).frame for upto in (place, place + 1))
        for part in frame["partition_key"].unique():
            pairs = zip(*(each.filter(partition_key=part)[rule.column] for each in (old, new)), strict=True)
            counted = repaired.counts.filter(partition_key=part)["repaired"].to_list()[place]
            assert counted == sum(not same(*pair) for pair in pairs)


@settings(max_examples=100, deadline=None)
@given(rows, idempotent)
def test_a_repair_made_twice_changes_nothing_more(cells: list[tuple[Any, ...]], rule: Repair) -> None:
    once = apply(framed(cells), [rule]).frame
    twice = apply(once, [rule])
    assert_frame_equal(twice.frame, once, check_exact=True)
    assert twice.counts["repaired"].sum() == 0


@settings(max_examples=60, deadline=None)
@given(rows, st.lists(idempotent, max_size=3))
def test_a_partition_alone_is_repaired_as_among_others(
    cells: list[tuple[Any, ...]], rules: list[Repair]
) -> None:
    frame = framed(cells)
    together = apply(frame, rules)
    for key in frame["partition_key"].unique():
        alone = apply(frame.filter(partition_key=key), rules)
        assert_frame_equal(alone.frame, together.frame.filter(partition_key=key), check_exact=True)
        assert_frame_equal(alone.counts, together.counts.filter(partition_key=key))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"column": "wint", "trim": True}, "got column 'wint'; allowed: x, n, text, yes, day"),
        ({"column": "partition_key", "trim": True}, "got column 'partition_key'; allowed: x, n"),
        ({"column": "x"}, "got no rule; allowed: one of above, below, trim"),
        ({"column": "text", "trim": True, "upper": True}, "got trim and upper; allowed: one of"),
        ({"column": "x", "above": 1, "below": 0, "to": "limit"}, "got above and below; allowed: one of"),
        ({"column": "x", "above": 0, "fill": 0}, "got above and fill"),
        ({"column": "x", "above": 1}, "got to None; allowed: missing, limit, or a value of type Float64"),
        ({"column": "x", "above": 1, "to": "gone"}, "got to 'gone'"),
        ({"column": "x", "above": 1, "to": 2}, "got to 2, which is itself above 1"),
        ({"column": "n", "above": 1.5, "to": "limit"}, "got limit 1.5 for a column of type Int32"),
        ({"column": "n", "below": 0, "to": 0.5}, "got to 0.5"),
        ({"column": "n", "fill": 2**40}, "for a column of type Int32; allowed: its values"),
        ({"column": "x", "above": math.inf, "to": 0}, "got above inf; allowed: a finite number"),
        ({"column": "text", "above": 1, "to": "missing"}, "above got a column of type String; allowed: numb"),
        ({"column": "x", "trim": True}, "trim got a column of type Float64; allowed: texts"),
        ({"column": "day", "fill": "2013-01-01"}, "fill got a column of type Date; allowed: numbers, texts,"),
        ({"column": "yes", "fill": 1}, "got 1 for a column of type Boolean"),
        ({"column": "x", "fill": True}, "got True for a column of type Float64"),
        ({"column": "x", "fill": "0"}, "got '0' for a column of type Float64"),
        ({"column": "text", "fill": "a", "to": 1}, "got `to` with fill; allowed: with above or below"),
        ({"column": "text", "replace": {}}, "got replace without values"),
        ({"column": "text", "replace": {1: "a"}}, "got 1 for a column of type String"),
        ({"column": "text", "replace": {"a": 1}}, "got 1 for a column of type String"),
    ],
)
def test_a_wrong_repair_is_refused(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        check_repair(Repair(**rule), SCHEMA)
    assert message in str(refused.value)
    assert refused.value.hint
