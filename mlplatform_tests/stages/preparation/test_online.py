"""The online executor apart from its agreement with batch: what it refuses, forgets and keeps."""

from typing import Any

import pytest

from mlplatform.errors import FeatureError
from mlplatform.features import Agg, Category, FeatureSet, Last, Open, Row, Spine, Static, col
from mlplatform.stages.preparation.declarations import Feature
from mlplatform.stages.preparation.online import OnlineFeatures
from mlplatform_tests.stages.preparation.histories import MINUTE, START, closings, events, items

DAY = 24 * 60
SPINE = Spine("spine", ("question",), {"k": "string", "asked": "time"}, col("asked").minus("0m"))


def online(*features: Feature, grace: str = "1d") -> OnlineFeatures:
    return OnlineFeatures(FeatureSet("one", SPINE, features), grace=grace)


COUNT = Agg(events, "k", "count", "1h", name="n")
TOTAL = Agg(events, "k", "sum", "1h", "v", name="total")


def event(minute: int, number: int = 0, k: Any = "a", v: Any = 1) -> dict[str, Any]:
    return {"event": number, "at": START + minute * MINUTE, "k": k, "v": v}


def ask(state: OnlineFeatures, minute: int, k: Any = "a") -> list[Any]:
    return state.vector({"k": k, "asked": START + minute * MINUTE})


def test_what_it_does_not_know_it_refuses() -> None:
    state = online(COUNT, TOTAL)
    with pytest.raises(FeatureError, match="got an event of source 'tickets'; allowed: events"):
        state.event("tickets", {})
    with pytest.raises(FeatureError, match="has no column 'v'; it has: event, at, k"):
        state.event("events", {name: value for name, value in event(1).items() if name != "v"})
    with pytest.raises(FeatureError, match="has a value that is not a number"):
        state.event("events", event(1, v="many"))
    with pytest.raises(FeatureError, match=r"has no value in its key \('event',\)"):
        state.event("events", event(1) | {"event": None})
    with pytest.raises(FeatureError, match="the question has no fact 'k'"):
        state.vector({"asked": START})
    with pytest.raises(FeatureError, match="as_of") as caught:
        state.vector({"k": "a", "asked": None})
    assert caught.value.hint == "It needs: asked."


def test_a_refused_row_has_no_effect_at_all() -> None:
    """Not even on the features that could have used it."""
    state = online(COUNT, Agg(events, (), "count", "1h", name="all"), Agg(events, (), "sum", "1h", "v"))
    state.event("events", event(1))
    for broken in (event(2, v="many"), {"event": 1, "at": START + 2 * MINUTE, "k": "a"}):
        with pytest.raises(FeatureError):
            state.event("events", broken)
    assert ask(state, 3) == [1, 1, 1]


def test_a_row_without_its_clock_is_no_event() -> None:
    state = online(COUNT)
    state.event("events", event(1) | {"at": None})
    assert ask(state, 3) == [0]


def test_a_question_may_carry_more_than_the_facts_and_is_left_as_it_was() -> None:
    state = online(COUNT)
    facts = {"k": "a", "asked": START, "more": "text"}
    assert state.vector(facts) == [0]
    assert facts == {"k": "a", "asked": START, "more": "text"}


def test_static_rows_are_replaced_and_unique() -> None:
    state = online(Static("static", by="k", value="s"), Row("more", col("s_by_k") + 1))
    assert ask(state, 0) == [None, None]
    state.load_static("static", [{"k": "a", "s": 4}, {"k": None, "s": 9}])
    assert ask(state, 0) == [4, 5]
    assert ask(state, 0, k=None) == [None, None]
    state.load_static("static", [{"k": "b", "s": 6}])
    assert ask(state, 0) == [None, None]
    with pytest.raises(FeatureError, match="several rows with the same 'k'"):
        state.load_static("static", [{"k": "a", "s": 4}, {"k": "a", "s": 5}])
    assert ask(state, 0, k="b") == [6, 7]


def test_a_category_is_the_fact_under_any_name() -> None:
    assert ask(online(Category("k"), Category("k", name="letter")), 0, k="x") == ["x", "x"]
    assert ask(online(Category("k")), 0, k=None) == [None]


def test_steps_are_not_part_of_the_vector() -> None:
    assert ask(online(Agg(events, "k", "count", "1h", name="_n"), Row("more", col("_n") + 1)), 0) == [1]


def test_time_does_not_go_back() -> None:
    state = online(COUNT)
    state.advance(START + DAY * MINUTE)
    state.advance(START)
    assert state.now_us == START + DAY * MINUTE


def test_within_the_grace_a_late_question_is_exact_and_then_refused() -> None:
    state = online(COUNT, grace="30m")
    state.event("events", event(0))
    state.advance(START + 89 * MINUTE)
    assert ask(state, 59) == [1]
    with pytest.raises(FeatureError, match="rows are kept for questions from") as caught:
        ask(state, 58)
    assert "batch" in caught.value.hint


def kept_rows(state: OnlineFeatures) -> int:
    return sum(
        len(shelf[0].times) for shelves in state._shelves.values() for shelf in shelves._shelves.values()
    )


def test_memory_does_not_grow_with_time() -> None:
    """One row a minute on one busy key, and a new key every minute: both are forgotten."""
    state = online(COUNT, grace="1h")
    for minute in range(5_000):
        state.event("events", event(minute, minute))
        state.event("events", event(minute, -minute - 1, k=f"key {minute}"))
        state.advance(START + minute * MINUTE)
        if minute > 60 and minute % 500 == 0:
            assert ask(state, minute) == [60]
    assert kept_rows(state) < 600
    assert len(state._shelves[("k",)]._shelves) < 200


def test_open_items_are_forgotten_too() -> None:
    state = online(Open(items, closings, "k", "count", "1h"), grace="1h")
    for minute in range(2_000):
        at = START + minute * MINUTE
        state.event("items", {"item": minute, "due": at, "k": "a"})
        if minute % 2:
            state.event("closings", {"item": minute, "closed": at})
        state.advance(at)
    assert ask(state, 1_999) == [30]
    (kept,) = state._open_items
    assert len(kept._items) < 200
    assert len(kept._closings) < 200
    (log,) = state._shelves[("k",)]._shelves["a"]
    assert len(log.told) < 600
    assert len(log.closings) < 200


def test_a_closing_waits_long_for_its_item() -> None:
    """Paid weeks before it was due, and told of only then: it is not open."""
    state = online(Open(items, closings, "k", "count", "1h"), grace="0m")
    state.event("closings", {"item": 1, "closed": START})
    for day in range(30):
        state.advance(START + day * DAY * MINUTE)
    state.event("items", {"item": 1, "due": START + 30 * DAY * MINUTE, "k": "a"})
    state.event("items", {"item": 2, "due": START + 30 * DAY * MINUTE, "k": "a"})
    assert ask(state, 30 * DAY + 1) == [1]


def test_an_item_told_of_twice_counts_once() -> None:
    state = online(Open(items, closings, "k", "count", "1h"))
    for _ in range(2):
        state.event("items", {"item": 1, "due": START, "k": "a"})
    assert ask(state, 1) == [1]


def test_of_closings_at_one_moment_the_least_value_counts() -> None:
    for values in ([4, 3, 5], [3, 4, 5], [5, 4, 3]):
        state = online(Open(items, closings, "k", "mean_state", "1h", value="v"))
        state.event("items", {"item": 1, "due": START, "k": "a"})
        for value in values:
            state.event("closings", {"item": 1, "closed": START + MINUTE, "v": value})
        state.event("closings", {"item": 1, "closed": START + 2 * MINUTE, "v": 1})
        assert ask(state, 3) == [3.0]


def test_of_rows_known_at_one_moment_the_greatest_key_is_last() -> None:
    for numbers in ([1, 10, 9], [10, 9, 1], [9, 1, 10]):
        state = online(Last(events, "k", "v", "1h"))
        for number in numbers:
            state.event("events", event(5, number, v=number))
        assert ask(state, 5) == [10]


def test_a_question_asked_again_sees_what_was_told_in_between() -> None:
    """Rows of its own past, told late, closings among them; and nothing that was dropped."""
    state = online(COUNT, TOTAL, Open(items, closings, "k", "mean_state", "1h", value="v"))
    assert ask(state, 9) == [0, 0, None]
    state.event("events", event(1, v=5))
    assert ask(state, 9) == ask(state, 9) == [1, 5, None]
    state.event("items", {"item": 1, "due": START, "k": "a"})
    assert ask(state, 9) == [1, 5, 9.0]
    state.event("closings", {"item": 1, "closed": START + 8 * MINUTE, "v": 8})
    state.event("events", event(0, 7, v=2))
    assert ask(state, 9) == [2, 7, 8.0]
    state.event("closings", {"item": 1, "closed": START + 4 * MINUTE, "v": 4})
    assert ask(state, 9) == [2, 7, 4.0]
    assert ask(state, 6) == [2, 7, 4.0]
    assert ask(state, 3) == [2, 7, 3.0]
    state.advance(START + 5 * DAY * MINUTE)
    with pytest.raises(FeatureError, match="rows are kept for questions from"):
        ask(state, 9)


def test_a_time_may_be_given_with_the_facts() -> None:
    state = online(COUNT)
    facts = {"k": "a", "asked": START}
    assert state.vector_at(state.as_of(facts), facts) == state.vector(facts)
    with pytest.raises(FeatureError, match="the question has no fact 'k'"):
        state.vector_at(START, {"asked": START})


def test_an_empty_set_has_an_empty_vector() -> None:
    assert ask(online(), 0) == []
