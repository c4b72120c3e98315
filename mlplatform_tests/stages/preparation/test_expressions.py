"""Every expression node reads the same in polars and in Python, to the bit."""

from datetime import UTC, datetime
from typing import Any, get_args

import msgspec
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlplatform.errors import ConfigurationError
from mlplatform.stages.preparation.expressions import (
    Binary,
    Calendar,
    Clip,
    Coalesce,
    Column,
    Constant,
    Expression,
    IsNull,
    Minutes,
    Shift,
    col,
)
from mlplatform_tests.stages.preparation.histories import MINUTE, TIME, different

SCHEMA: dict[str, Any] = {"i": pl.Int64, "j": pl.Int64, "x": pl.Float64, "t": TIME, "u": TIME}
ZONES = ("America/New_York", "UTC", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Puerto_Rico")
DAY = 86_400_000_000


def microseconds_of(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp()) * 1_000_000  # type: ignore[arg-type, misc]


SPRING, AUTUMN = microseconds_of(2013, 3, 10), microseconds_of(2013, 11, 3)
_times = st.one_of(
    st.integers(SPRING, SPRING + 2 * DAY),
    st.integers(AUTUMN, AUTUMN + 2 * DAY),
    st.integers(microseconds_of(1969, 12, 30), microseconds_of(2038, 1, 20)),
)
_rows = st.fixed_dictionaries(
    {
        "i": st.none() | st.integers(-300, 300),
        "j": st.none() | st.integers(-3, 3),
        "x": st.none() | st.floats(-1e6, 1e6),
        "t": st.none() | _times,
        "u": st.none() | _times,
    }
)

_time_nodes = st.one_of(
    st.sampled_from([Column("t"), Column("u")]),
    st.builds(Shift, st.sampled_from([Column("t"), Column("u")]), st.integers(-DAY, DAY)),
)
_leaves = st.one_of(
    st.sampled_from([Column("i"), Column("j"), Column("x")]),
    st.builds(Constant, st.integers(-300, 300) | st.floats(-300, 300)),
    st.builds(Minutes, _time_nodes, _time_nodes),
    st.builds(
        Calendar,
        _time_nodes,
        st.sampled_from(["hour", "minute_of_day", "weekday", "month"]),
        st.sampled_from(ZONES),
    ),
    st.builds(IsNull, _time_nodes),
    st.builds(Binary, st.sampled_from([">=", ">"]), _time_nodes, _time_nodes),
)


def _branches(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.builds(Binary, st.sampled_from(["+", "-", "*", "/", ">=", ">"]), inner, inner),
        st.builds(Clip, inner, st.integers(-60, 0), st.integers(0, 240)),
        st.builds(IsNull, inner),
        st.builds(Coalesce, inner, inner),
    )


_expressions = st.recursive(_leaves, _branches, max_leaves=5)


def read_both(expression: Expression, rows: list[dict[str, Any]]) -> tuple[list[Any], list[Any]]:
    physical = {name: pl.Int64 if dtype == TIME else dtype for name, dtype in SCHEMA.items()}
    frame = pl.DataFrame(rows, schema=physical, orient="row").with_columns(pl.col("t", "u").cast(TIME))
    computed = frame.with_columns(result=expression.polars())["result"]
    values = computed.to_physical() if computed.dtype == TIME else computed
    evaluate = expression.python()
    return values.to_list(), [evaluate(row) for row in rows]


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(_expressions, st.lists(_rows, min_size=1, max_size=8))
def test_both_readings_agree(expression: Expression, rows: list[dict[str, Any]]) -> None:
    polars, python = read_both(expression, rows)
    assert different([str(i) for i in range(len(rows))], polars, python) == {}


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(_time_nodes, st.lists(_rows, min_size=1, max_size=8))
def test_both_readings_of_times_agree(expression: Expression, rows: list[dict[str, Any]]) -> None:
    polars, python = read_both(expression, rows)
    assert polars == python


@given(_expressions)
def test_an_expression_survives_json(expression: Expression) -> None:
    encoded = msgspec.json.encode(expression)
    assert msgspec.json.decode(encoded, type=Expression) == expression


def test_every_node_is_in_the_vocabulary() -> None:
    assert set(get_args(Expression)) == {
        Column,
        Constant,
        Binary,
        Clip,
        IsNull,
        Coalesce,
        Shift,
        Minutes,
        Calendar,
    }


ROW = {"i": 7, "j": None, "x": 2.5, "t": SPRING + 5 * 60 * MINUTE, "u": SPRING}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (col("i") + 1, 8),
        (col("i") - col("x"), 4.5),
        (col("i") * 2, 14),
        (Constant(100_000) * 100_000, 10_000_000_000),
        (Constant(2**62) * 2, -(2**63)),
        ((Constant(2**62) + 1) * 3 / 7, float(3 * 2**62 + 3 - 2**64) / 7),
        (col("i") / 2, 3.5),
        (col("i") / 0, None),
        (col("i") >= 7, 1),
        (col("i") > 7, 0),
        (col("j") + 1, None),
        (col("j") > 1, None),
        (col("i").clip(0, 5), 5),
        (col("j").clip(0, 5), None),
        (col("j").is_null(), 1),
        (col("i").is_null(), 0),
        (col("j").coalesce(3), 3),
        (col("j").coalesce(col("i")), 7),
        (col("t").minutes_since(col("u")), 300),
        (col("u").minutes_since(col("t").minus("30s")), -300),
        (col("t").minus("1h"), SPRING + 4 * 60 * MINUTE),
        (col("t").hour("America/New_York"), 0),
        (col("t").minus("1m").hour("America/New_York"), 23),
        (col("t").minutes_since(col("u").minus("1s")).clip(0, 10), 10),
        (col("t").minute_of_day("UTC"), 300),
        (col("t").weekday("UTC"), 7),
        (col("t").month("UTC"), 3),
    ],
)
def test_what_can_be_written(expression: Expression, value: Any) -> None:
    assert read_both(expression, [ROW]) == ([value], [value])


@pytest.mark.parametrize("rows", [1, 2, 9])
@pytest.mark.parametrize(
    "expression",
    [
        Constant(0.0) - col("i").clip(0, 0),
        Constant(0.0).clip(0, 0) + Constant(0) - col("t").is_null().clip(0, 0),
        col("t").is_null() - (col("x") - col("x")),
        Constant(-0.0) + (col("x") - col("x")) * -1,
        col("x") * 0 / -3,
        Constant(-0.0),
    ],
)
def test_a_zero_has_no_sign(expression: Expression, rows: int) -> None:
    """Polars' short cuts for constant operands give -0.0 where IEEE 754 gives 0.0."""
    polars, python = read_both(expression, [ROW] * rows)
    assert [str(float(value)) for value in [*polars, *python]] == ["0.0"] * 2 * rows


@pytest.mark.parametrize("divisor", [Constant(3), Constant(3).clip(0, 9), Constant(2) + 1, Constant(49.0)])
def test_a_division_by_a_constant_is_a_division(divisor: Expression) -> None:
    """Not a multiplication by the reciprocal, however the constant is written."""
    rows = [ROW | {"x": 1.1 * i} for i in range(200)]
    polars, python = read_both(col("x") / divisor, rows)
    assert polars == python


def test_minutes_are_rounded_down_also_below_zero() -> None:
    rows = [ROW | {"t": SPRING + seconds * 1_000_000} for seconds in (-61, -60, -1, 0, 59, 60)]
    assert read_both(col("t").minutes_since(col("u")), rows) == ([-2, -1, -1, 0, 0, 1],) * 2


def test_the_clocks_of_new_york_jump() -> None:
    """2 o'clock is missing on 10 March; 1 o'clock comes twice on 3 November."""
    spring = [ROW | {"t": SPRING + hour * 60 * MINUTE} for hour in (6, 7)]
    assert read_both(col("t").hour("America/New_York"), spring) == ([1, 3], [1, 3])
    autumn = [ROW | {"t": AUTUMN + hour * 60 * MINUTE} for hour in (5, 6, 7)]
    assert read_both(col("t").hour("America/New_York"), autumn) == ([1, 1, 2], [1, 1, 2])


def test_columns_are_those_that_are_read() -> None:
    assert ((col("a") - 1) / col("b")).coalesce(col("t").hour("UTC")).columns() == {"a", "b", "t"}
    assert Constant(1).columns() == set()


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd"])
def test_an_unknown_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        col("t").hour(zone)
    assert str(caught.value) == f"got time zone {zone!r}; allowed: a name of the IANA time zone database."
    assert "America/New_York" in caught.value.hint
