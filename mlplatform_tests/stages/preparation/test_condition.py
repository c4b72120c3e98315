"""The condition of data against hand-computed values, scipy and the real weather; limits and findings."""

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from scipy import stats

from mlplatform.errors import ConfigurationError, FeatureError
from mlplatform.stages.preparation.condition import CONDITION_SCHEMA, condition
from mlplatform.stages.preparation.limits import Limits, findings, trend_lines
from mlplatform_tests.stages.preparation.real_weather import weather

STORM = "2013-02-12"


def one(values: object, dtype: Any = None) -> dict[str, Any]:
    """Condition of one column that is the only partition."""
    frame = pl.DataFrame({"x": pl.Series(values, dtype=dtype, strict=False)})
    return condition(frame).row(0, named=True)


def days(means: list[float | None]) -> pl.DataFrame:
    """One partition of two rows per mean; None is a partition of missing values."""
    keys = [f"2013-01-{day + 1:02}" for day in range(len(means)) for _ in range(2)]
    values = [None if mean is None else mean + off for mean in means for off in (-1, 1)]
    return pl.DataFrame({"partition_key": keys, "x": pl.Series(values, dtype=pl.Float64)})


def test_numbers_by_hand() -> None:
    found = one([1.0, 2.0, 3.0, 4.0, 100.0, None, math.nan, math.inf])
    assert found["partition_key"] == "all"
    assert (found["kind"], found["rows"], found["missing"], found["nonfinite"]) == ("number", 8, 2, 2)
    assert (found["low"], found["p25"], found["p50"], found["p75"], found["high"]) == (1, 2, 3, 4, 100)
    # Fences: 2 - 3 * 2 and 4 + 3 * 2.
    assert (found["outliers"], found["distinct"], found["mean"]) == (1, 5, 22)
    assert found["low_text"] is found["formats"] is found["trend"] is None


def test_the_moments_and_quantiles_are_those_of_scipy_and_numpy() -> None:
    values = np.random.default_rng(3).gamma(2.0, 3.0, 1000)
    found = one(values)
    assert found["skew"] == pytest.approx(stats.skew(values), rel=1e-12)
    assert found["deviation"] == pytest.approx(values.std(), rel=1e-12)
    for name, share in (("p01", 0.01), ("p05", 0.05), ("p50", 0.5), ("p99", 0.99)):
        assert found[name] == pytest.approx(np.quantile(values, share), rel=1e-12)


def test_a_constant_column_has_no_spread_and_no_outliers() -> None:
    found = one([0.1] * 11)
    assert (found["deviation"], found["skew"], found["outliers"], found["mean"]) == (0.0, None, 0, 0.1)


def test_where_the_quartiles_are_equal_p05_and_p95_fence() -> None:
    assert one([0.0] * 80 + [1.0] * 19 + [5.0])["outliers"] == 1
    assert one([0.0] * 99 + [5.0])["outliers"] == 0


def test_texts_have_shapes() -> None:
    found = one(["N14228", "N725", "N1", "Ñ9", "AB12", "C3", "D4", "E5", "F6", "725MQ", None])
    assert (found["formats"], found["most_common"], found["odd_formats"]) == (2, "A9", 1)
    assert (found["low_text"], found["high_text"], found["missing"]) == ("725MQ", "Ñ9", 1)
    assert one(["a", "1", "b", "2"])["odd_formats"] == 0
    assert one(["a  b", "a\tb", ""])["formats"] == 2


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([True, False, True, None], None, {"kind": "boolean", "mean": 2 / 3, "distinct": 2, "missing": 1}),
        ([date(2013, 1, 2), None], None, {"kind": "time", "low_text": "2013-01-02", "missing": 1}),
        ([datetime(2013, 1, 2, 3, tzinfo=UTC)], None, {"kind": "time", "distinct": 1}),
        ([[1], None], pl.List(pl.Int64), {"kind": "other", "missing": 1, "rows": 2, "distinct": None}),
        ([timedelta(1)], None, {"kind": "other", "missing": 0}),
        ([None, None], pl.Null, {"kind": "text", "missing": 2, "distinct": 0, "formats": 0}),
        ([None], pl.Float64, {"kind": "number", "missing": 1, "distinct": 0, "outliers": 0, "low": None}),
        (["a"], pl.Categorical, {"kind": "text", "low_text": "a"}),
        ([1e308, -1e308], None, {"kind": "number", "distinct": 2, "deviation": None}),
        ([], pl.Int64, {"kind": "number", "rows": 0, "missing": 0, "mean": None}),
    ],
)
def test_every_type_has_a_condition(values: list[object], dtype: Any, expected: dict[str, Any]) -> None:
    found = one(values, dtype)
    assert {name: found[name] for name in expected} == expected


def test_no_partition_no_condition() -> None:
    empty = condition(pl.DataFrame(schema={"partition_key": pl.String, "x": pl.Int64}))
    assert empty.schema == CONDITION_SCHEMA
    assert empty.height == 0
    with pytest.raises(FeatureError, match="1 of 2 rows have no 'partition_key'"):
        condition(pl.DataFrame({"partition_key": ["a", None], "x": [1, 2]}))


def test_a_trend_by_hand() -> None:
    found = condition(days([1, 2, 3, 4, 5, 6, 7, 10]))["trend"]
    assert found.head(7).null_count() == 7
    assert found[7] == pytest.approx((10 - 4) / np.std([1, 2, 3, 4, 5, 6, 7], ddof=1), rel=1e-12)


def test_a_trend_looks_back_no_further_than_the_window() -> None:
    far = condition(days([500, *range(1, 11)]), history_window=8)["trend"][-1]
    assert far == condition(days(list(range(1, 11))), history_window=8)["trend"][-1]


def test_what_never_changed_and_now_does_has_the_largest_trend() -> None:
    found = condition(days([5.0] * 9 + [6.0]))
    assert found["trend"].to_list()[7:] == [0.0, 0.0, 100.0]
    gone = condition(days([5.0] * 9 + [None])).row(-1, named=True)
    assert (gone["trend"], gone["missing_trend"]) == (None, 100.0)


cells = st.lists(
    st.tuples(
        st.integers(0, 14),
        st.none() | st.floats(width=32) | st.sampled_from([0.1, 0.2, 0.3]),
        st.none() | st.text("aB1 -", max_size=4),
        st.none() | st.booleans(),
    ),
    max_size=80,
)


def framed(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    schema = {"partition_key": pl.Int64, "x": pl.Float64, "text": pl.String, "yes": pl.Boolean}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    return frame.with_columns(pl.col("partition_key").cast(pl.String).str.zfill(2))


@settings(max_examples=25, deadline=None)
@given(cells)
def test_partitions_one_by_one_are_as_together(rows: list[tuple[Any, ...]]) -> None:
    frame = framed(rows)
    together = condition(frame)
    history = together.clear()
    for key in frame["partition_key"].unique().sort():
        alone = condition(frame.filter(partition_key=key), history=history)
        history = pl.concat([history, alone])
    assert_frame_equal(together, history, check_exact=True)


@settings(max_examples=25, deadline=None)
@given(cells, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows: list[tuple[Any, ...]], random: Any) -> None:
    shuffled = random.sample(rows, len(rows))
    assert_frame_equal(condition(framed(rows)), condition(framed(shuffled)), check_exact=True)


def test_own_partitions_take_precedence_over_the_history() -> None:
    frame, stale = days([1, 2, 3, 4, 5, 6, 7, 10]), condition(days([9.0] * 8))
    assert_frame_equal(condition(frame, history=stale), condition(frame), check_exact=True)


@pytest.fixture(scope="module")
def conditions() -> pl.DataFrame:
    return condition(weather())


def test_the_real_weather(conditions: pl.DataFrame) -> None:
    gust = conditions.filter(column="wind_gust").select(pl.col("missing", "rows").sum()).row(0)
    assert gust == (20778, 26115)
    storm = conditions.filter(partition_key=STORM, column="wind_speed").row(0, named=True)
    assert (storm["outliers"], storm["trend"] > 3) == (1, True)
    assert storm["high"] == pytest.approx(1048.36, abs=0.001)


def test_a_real_day_alone_with_its_history_is_as_in_the_year(conditions: pl.DataFrame) -> None:
    alone = condition(weather().filter(partition_key=STORM), history=conditions)
    assert_frame_equal(alone, conditions.filter(partition_key=STORM), check_exact=True)


def test_findings_are_sentences(conditions: pl.DataFrame) -> None:
    storm = conditions.filter(partition_key=STORM)
    limits = [Limits(max_missing=0.5), Limits(column="wind_speed", max_outliers=0.01, severity="block")]
    assert [(each.severity, each.sentence) for each in findings(storm, limits)] == [
        ("warn", f"{STORM}, wind_gust: 51.4% of the values are missing; allowed: at most 50.0%."),
        (
            "block",
            f"{STORM}, wind_speed: 1.4% of the present values are far from all others; "
            "allowed: at most 1.0%.",
        ),
    ]


def test_a_limit_by_name_replaces_that_of_all(conditions: pl.DataFrame) -> None:
    strict, exempt = Limits(max_missing=0.0), Limits(column="wind_gust", max_missing=1.0)
    assert "wind_gust" in {each.column for each in findings(conditions, [strict])}
    assert "wind_gust" not in {each.column for each in findings(conditions, [strict, exempt])}
    outliers = [strict, Limits(column="wind_gust", max_outliers=1.0)]
    assert "wind_gust" in {each.column for each in findings(conditions, outliers)}


def test_of_a_warning_and_a_block_only_the_block_is_found() -> None:
    frame = condition(pl.DataFrame({"x": [None, 1, 2, 3]}))
    limits = [Limits(max_missing=0.2, severity="block"), Limits(max_missing=0.1)]
    for order in (limits, limits[::-1]):
        (found,) = findings(frame, order)
        assert (found.severity, found.limit, found.value) == ("block", 0.2, 0.25)


def test_too_few_rows_are_found_once_per_partition() -> None:
    frame = condition(pl.DataFrame({"partition_key": ["a", "b", "b"], "x": [1, 2, 3], "y": [1, 2, 3]}))
    (found,) = findings(frame, [Limits(min_rows=2)])
    assert found.sentence == "a: 1 rows; allowed: at least 2."
    assert findings(frame, [Limits(column="y", min_rows=2)])[0].column == "y"


def test_trends_and_odd_formats_are_found() -> None:
    moved = condition(days([1, 2, 3, 4, 5, 6, 7, 90]))
    (found,) = findings(moved, [Limits(max_trend=3)])
    assert (found.what, found.partition) == ("trend", "2013-01-08")
    texts = condition(pl.DataFrame({"x": ["a1"] * 19 + ["1a"]}))
    (found,) = findings(texts, [Limits(max_odd_formats=0.01)])
    assert "5.0% of the present values are written unlike" in found.sentence


def test_a_column_without_values_exceeds_no_share_of_the_present() -> None:
    frame = condition(pl.DataFrame({"x": pl.Series([None, None], dtype=pl.Float64)}))
    assert findings(frame, [Limits(max_outliers=0.0, max_odd_formats=0.0)]) == []


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({}, "got no limit; allowed: max_missing"),
        ({"max_missing": 50}, "got max_missing 50; allowed: a share from 0 to 1"),
        ({"max_trend": 0}, "got max_trend 0; allowed: a number above 0"),
        ({"min_rows": -1}, "got min_rows -1; allowed: 0 and above"),
        ({"min_rows": 1, "severity": "stop"}, "got severity 'stop'; allowed: warn, block"),
    ],
)
def test_a_wrong_limit_is_refused(declared: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Limits(**declared)


def test_a_limit_of_a_column_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"'wint': there is no such column; allowed: \*, x"):
        findings(condition(pl.DataFrame({"x": [1]})), [Limits(column="wint", max_missing=0.1)])


def test_trend_lines() -> None:
    expected = [("2013-01-01", 0.0, 3.0), ("2013-01-02", 1.0, None)]
    assert trend_lines(condition(days([3.0, None])), "x") == expected
