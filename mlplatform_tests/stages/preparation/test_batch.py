"""The batch executor against the naive reading of every feature, and what it refuses."""

import random

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from mlplatform.errors import FeatureError
from mlplatform.features import Agg, FeatureSet, Last, Open, Row, Source, Spine, Static, col
from mlplatform.stages.preparation.batch import compute
from mlplatform.stages.preparation.declarations import FactType, Feature
from mlplatform_tests.stages.preparation.histories import (
    FEATURES,
    MINUTE,
    SCHEMAS,
    START,
    TIME,
    History,
    different,
    events,
    frame,
    histories,
    items,
    physical,
)
from mlplatform_tests.stages.preparation.naive import vectors

SLOWLY = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def computed(history: History) -> list[list[object]]:
    features = compute(FEATURES, history.spine(), history.frames())
    return [[row[name] for name in FEATURES.names] for row in physical(features)]


@SLOWLY
@given(histories)
def test_every_feature_means_what_the_naive_loop_says(history: History) -> None:
    for expected, got in zip(vectors(FEATURES, history), computed(history), strict=True):
        assert different(FEATURES.names, got, expected) == {}


@settings(SLOWLY, max_examples=15)
@given(histories, st.randoms(use_true_random=False))
def test_the_order_of_rows_is_irrelevant(history: History, chance: random.Random) -> None:
    shuffled = history.shuffled(chance.shuffle)
    spine = history.spine()
    assert_frame_equal(
        compute(FEATURES, spine, history.frames()),
        compute(FEATURES, spine, shuffled.frames()),
        check_exact=True,
    )


@settings(SLOWLY, max_examples=15)
@given(histories)
def test_rows_known_after_the_question_do_no_harm(history: History) -> None:
    for question in history.questions[:3]:
        asked = question["asked"] - 3 * MINUTE
        cut = History(
            [row for row in history.events if row["at"] is not None and row["at"] <= asked],
            [row for row in history.items if row["due"] is not None and row["due"] <= asked],
            [row for row in history.closings if row["closed"] is not None and row["closed"] <= asked],
            history.static,
            [question],
        )
        whole = compute(FEATURES, cut.spine(), history.frames())
        assert_frame_equal(whole, compute(FEATURES, cut.spine(), cut.frames()), check_exact=True)


SPINE = Spine("spine", ("question",), {"k": "string", "asked": "time"}, col("asked").minus("0m"))


def declared(*features: Feature) -> FeatureSet:
    return FeatureSet("one", SPINE, features)


def one_key() -> FeatureSet:
    return declared(Agg(events, "k", "count", "10m", name="n"))


def asked_at(*minutes: float, key: str | None = "a") -> pl.DataFrame:
    rows = [{"question": i, "k": key, "asked": START + int(m * MINUTE)} for i, m in enumerate(minutes)]
    return frame("spine", rows)


def known_at(*minutes: float, key: str | None = "a") -> pl.DataFrame:
    rows = [{"event": i, "k": key, "at": START + int(m * MINUTE)} for i, m in enumerate(minutes)]
    return frame("events", rows)


def test_a_window_has_its_end_and_lacks_its_beginning() -> None:
    spine = asked_at(9.99, 10, 19.99, 20)
    assert compute(one_key(), spine, {"events": known_at(10, 10)})["n"].to_list() == [0, 2, 2, 0]


def test_a_key_never_seen_counts_zero_and_a_missing_key_is_missing() -> None:
    tables = {"events": pl.concat([known_at(1, key="b"), known_at(1, key=None)])}
    assert compute(one_key(), asked_at(2, key="a"), tables)["n"].to_list() == [0]
    assert compute(one_key(), asked_at(2, key=None), tables)["n"].to_list() == [None]


def test_a_lag_moves_what_is_known() -> None:
    late = Source("late", table="events", at="at", key=("event",), lag="5m")
    features = declared(Agg(late, "k", "count", "10m", name="n"), Last(late, "k", "age", "10m"))
    got = compute(features, asked_at(4, 5, 14, 15), {"events": known_at(0)})
    assert got["n"].to_list() == [0, 1, 1, 0]
    assert got["age_last_by_k"].to_list() == [None, 0, 9, None]


@pytest.mark.parametrize("values", [[4, 3, 5], [3, 4, 5], [5, 4, 3]])
def test_of_closings_at_one_moment_the_least_value_counts(values: list[int]) -> None:
    closings = Source("closings", table="closings", at="closed", key=("item",))
    rows = [{"item": 1, "closed": START + MINUTE, "v": value} for value in values]
    rows.append({"item": 1, "closed": START + 2 * MINUTE, "v": 1})
    tables = {
        "items": frame("items", [{"item": 1, "due": START, "k": "a"}]),
        "closings": frame("closings", rows),
    }
    features = declared(Open(items, closings, "k", "mean_state", "1h", value="v", name="state"))
    assert compute(features, asked_at(0, 1, 3), tables)["state"].to_list() == [0.0, 3.0, 3.0]


def test_without_rows_there_are_still_columns() -> None:
    empty = {name: frame(name, []) for name in ("events", "items", "closings", "static")}
    got = compute(FEATURES, asked_at(1, 2).with_columns(n=pl.lit(1, pl.Int64)), empty)
    assert got["events_count_5m_by_k"].to_list() == [0, 0]
    assert got["v_mean_10m_by_k"].to_list() == [None, None]
    assert compute(FEATURES, frame("spine", []), empty).height == 0


def test_rows_come_back_in_the_order_they_were_asked_with_their_keys_and_facts() -> None:
    got = compute(one_key(), asked_at(20, 3, 11), {"events": known_at(2, 10)})
    assert got.columns == ["question", "k", "asked", "as_of", "n"]
    assert got["n"].to_list() == [0, 1, 2]


def test_many_keys_over_a_long_time_keep_apart() -> None:
    """More keys times microseconds than 64 bits hold: then both are numbered."""
    n, years = 200_000, 40 * 365 * 86_400_000_000
    at = pl.int_range(n, eager=True) * (years // n)
    rows = pl.DataFrame({"event": pl.int_range(n, eager=True), "k": [str(i) for i in range(n)], "at": at})
    table = rows.with_columns(pl.col("at").cast(TIME))
    chosen = table.gather_every(997)
    spine = chosen.select(question="event", k="k", asked=pl.col("at") + pl.duration(minutes=9))
    assert compute(one_key(), spine, {"events": table})["n"].to_list() == [1] * chosen.height
    early = spine.with_columns(pl.col("asked") - pl.duration(minutes=10))
    assert compute(one_key(), early, {"events": table})["n"].to_list() == [0] * chosen.height


def test_keys_of_many_columns_keep_apart() -> None:
    """Combinations of key columns beyond 64 bits must not collide."""
    n, by = 3_000, ("a", "b", "c", "d", "e", "g")
    columns = {name: [f"{name}{i}" for i in range(n)] for name in by}
    table = pl.DataFrame({"event": range(n), "at": [START] * n, **columns}).with_columns(
        pl.col("at").cast(TIME)
    )
    spine = table.select(*by, question="event", asked="at")
    facts: dict[str, FactType] = {**dict.fromkeys(by, "string"), "asked": "time"}
    features = FeatureSet(
        "wide",
        Spine("spine", ("question",), facts, col("asked").minus("0m")),
        (Agg(events, by, "count", "1h", name="n"),),
    )
    assert compute(features, spine, {"events": table})["n"].unique().to_list() == [1]


def test_whole_numbers_of_few_bits_do_not_wrap_around() -> None:
    spine = Spine("spine", ("question",), {"x": "int", "asked": "time"}, col("asked").minus("0m"))
    features = FeatureSet("one", spine, (Row("square", col("x") * col("x")),))
    rows = asked_at(1).with_columns(x=pl.lit(100, pl.Int8))
    assert compute(features, rows, {})["square"].to_list() == [10_000]


def test_a_table_that_is_not_there_is_named() -> None:
    with pytest.raises(FeatureError, match="source 'events' reads table 'events'; given: items"):
        compute(one_key(), asked_at(1), {"items": frame("items", [])})


def refused(features: FeatureSet, events_: pl.DataFrame | None = None, **tables: pl.DataFrame) -> str:
    given_ = {"events": known_at(1) if events_ is None else events_, **tables}
    with pytest.raises(FeatureError) as caught:
        compute(features, asked_at(1), given_)
    assert caught.value.hint
    return str(caught.value)


def test_what_batch_refuses() -> None:
    assert "has no column 'k'" in refused(one_key(), known_at(1).drop("k"))
    assert "has no column 'at'" in refused(one_key(), known_at(1).drop("at"))
    unknown = refused(declared(Agg(events, "k", "sum", "1h", "nothing")))
    assert "source 'events' (read by feature 'nothing_sum_1h_by_k') has no column 'nothing'" in unknown
    assert "of type String" in refused(declared(Agg(events, "k", "sum", "1h", "text")))
    assert "of type Float64; allowed: whole numbers" in refused(declared(Agg(events, "k", "sum", "1h", "f")))
    several = refused(one_key(), known_at(1).with_columns(k=pl.lit(1)))
    assert "column 'k' is a key of features but has several types" in several
    unidentified = known_at(1).with_columns(event=pl.lit(None, pl.Int64))
    assert "1 rows of source 'events' have no value in its key" in refused(one_key(), unidentified)
    naive = known_at(1).with_columns(pl.col("at").dt.replace_time_zone(None))
    assert "'at' of source 'events' is Datetime" in refused(one_key(), naive)
    thousandths = known_at(1).with_columns(pl.col("at").dt.cast_time_unit("ms"))
    assert "allowed: Datetime(us, UTC)" in refused(one_key(), thousandths)


def test_batch_refuses_sums_that_are_not_exact() -> None:
    huge = known_at(1, 2).with_columns(v=pl.lit(2**31, pl.Int64))
    assert "can sum beyond the whole numbers that are exact" in refused(
        declared(Agg(events, "k", "sum", "1h", "v")), huge
    )


def test_batch_refuses_items_and_static_rows_that_are_not_unique() -> None:
    closings = Source("closings", table="closings", at="closed", key=("item",))
    twice = frame("items", [{"item": 1, "due": START, "k": k} for k in "ab"])
    none = frame("closings", [])
    doubled = refused(declared(Open(items, closings, "k", "count", "1h")), items=twice, closings=none)
    assert "source 'items' has items with the same key ('item',)" in doubled
    static = pl.DataFrame({"k": ["a", "a"], "s": [1, 2]}, schema=SCHEMAS["static"])
    assert "several rows with the same 'k'" in refused(declared(Static("static", "k", "s")), static=static)


def test_a_question_needs_a_time_and_its_facts() -> None:
    nowhere = asked_at(1).with_columns(asked=pl.lit(None, TIME))
    with pytest.raises(FeatureError, match="1 rows of the spine of 'one' have no as_of"):
        compute(one_key(), nowhere, {"events": known_at(1)})
    with pytest.raises(FeatureError, match="the spine of 'one' has no column 'k'"):
        compute(one_key(), asked_at(1).drop("k"), {"events": known_at(1)})
    local = asked_at(1).with_columns(pl.col("asked").dt.convert_time_zone("America/New_York"))
    with pytest.raises(FeatureError, match="fact 'asked'"):
        compute(one_key(), local, {"events": known_at(1)})
