"""What every online store promises, over each implementation; the server is a real one on a free port.

The promise of promises: whatever the order, however often told, by however many writers, a vector equals
the batch executor's to the bit.
"""

import itertools
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlplatform.errors import ConfigurationError, FeatureError, StoreError
from mlplatform.features import Agg, FeatureSet, Last, Open, Row, Spine, Static, col
from mlplatform.stages.preparation.batch import compute
from mlplatform.stages.preparation.declarations import Feature
from mlplatform.stages.preparation.durations import microseconds
from mlplatform.stores.online import OnlineStore, open_online_store, without_password
from mlplatform_tests.stages.preparation.histories import (
    FEATURES,
    MINUTE,
    START,
    History,
    closings,
    different,
    events,
    histories,
    items,
    physical,
)
from mlplatform_tests.stores.valkey_server import ValkeyServer, valkey_program

SLOWLY = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
SPINE = Spine("spine", ("question",), {"k": "string", "asked": "time"}, col("asked").minus("0m"))
COUNT = Agg(events, "k", "count", "1h", name="n")
TOTAL = Agg(events, "k", "sum", "1h", "v", name="total")
HOUR, DAY = 60, 24 * 60

_numbers = itertools.count()
Open_ = Callable[..., OnlineStore]


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    program = valkey_program()
    if program is None:
        pytest.skip("no Valkey")
    with ValkeyServer(program, tmp_path_factory.mktemp("valkey")) as running:
        yield running


@pytest.fixture(params=["memory", "valkey", "valkey by its socket"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "memory":
        return "memory://"
    server: ValkeyServer = request.getfixturevalue("valkey")
    return server.url if request.param == "valkey" else server.socket_url


@pytest.fixture
def opened(url: str) -> Iterator[Open_]:
    """Opens an empty store of a feature set."""
    stores: list[OnlineStore] = []

    def opener(features: FeatureSet = FEATURES, grace: str = "1d") -> OnlineStore:
        stores.append(open_online_store(url, features, f"case {next(_numbers)}", grace=grace))
        return stores[-1]

    yield opener
    for store in stores:
        store.close()


def one(*features: Feature) -> FeatureSet:
    return FeatureSet("one", SPINE, features)


def event(minute: int, number: int = 0, k: Any = "a", v: Any = 1) -> dict[str, Any]:
    return {"event": number, "at": START + minute * MINUTE, "k": k, "v": v}


def ask(store: OnlineStore, minute: int, k: Any = "a") -> list[Any]:
    return store.vector({"k": k, "asked": START + minute * MINUTE})


def batch_vectors(history: History) -> list[list[Any]]:
    rows = physical(compute(FEATURES, history.spine(), history.frames()))
    return [[row[name] for name in FEATURES.names] for row in rows]


def assert_equals_batch(store: OnlineStore, history: History) -> None:
    for question, row in zip(history.questions, batch_vectors(history), strict=True):
        assert different(FEATURES.names, store.vector(question), row) == {}


@SLOWLY
@given(history=histories, chance=st.randoms(use_true_random=False))
def test_vectors_equal_batch_in_any_order_and_told_twice(
    opened: Open_, history: History, chance: random.Random
) -> None:
    store = opened()
    store.load_static("static", history.static)
    told = history.deliveries() * 2
    chance.shuffle(told)
    assert store.events(told) == len(told)
    assert_equals_batch(store, history)


@SLOWLY
@given(history=histories, ahead=st.integers(0, 40), chance=st.randoms(use_true_random=False))
def test_vectors_equal_batch_while_old_rows_are_dropped(
    opened: Open_, history: History, ahead: int, chance: random.Random
) -> None:
    """Each question is asked once all known by then was told, and up to `ahead` minutes more."""
    store = opened(grace="0m")
    store.load_static("static", history.static)
    lags = {source.name: (source.at, microseconds(source.lag)) for source in FEATURES.sources}
    waiting = [(row[lags[name][0]] + lags[name][1], name, row) for name, row in history.deliveries()]
    expected = zip(history.questions, batch_vectors(history), strict=True)
    for question, row in sorted(expected, key=lambda pair: pair[0]["asked"]):
        asked = store.as_of(question)
        due = [delivery for delivery in waiting if delivery[0] <= asked + ahead * MINUTE]
        waiting = [delivery for delivery in waiting if delivery[0] > asked + ahead * MINUTE]
        chance.shuffle(due)
        store.events([(name, row) for _, name, row in due])
        store.advance(asked)
        assert different(FEATURES.names, store.vector(question), row) == {}


def test_static_rows_are_replaced_and_unique(opened: Open_) -> None:
    store = opened(one(Static("static", by="k", value="s"), Row("more", col("s_by_k") + 1)))
    assert ask(store, 0) == [None, None]
    store.load_static("static", [{"k": "a", "s": 4}, {"k": None, "s": 9}])
    assert ask(store, 0) == [4, 5]
    assert ask(store, 0, k=None) == [None, None]
    store.load_static("static", [{"k": "b", "s": 6}])
    assert ask(store, 0) == [None, None]
    with pytest.raises(FeatureError, match="several rows with the same 'k'"):
        store.load_static("static", [{"k": "a", "s": 4}, {"k": "a", "s": 5}])
    assert ask(store, 0, k="b") == [6, 7]
    store.load_static("static", [])
    assert ask(store, 0, k="b") == [None, None]


def test_what_it_does_not_know_it_refuses(opened: Open_) -> None:
    store = opened(one(COUNT, TOTAL))
    with pytest.raises(FeatureError, match="got an event of source 'tickets'; allowed: events"):
        store.event("tickets", {})
    with pytest.raises(FeatureError, match="has no column 'v'; it has: event, at, k"):
        store.event("events", {name: value for name, value in event(1).items() if name != "v"})
    with pytest.raises(FeatureError, match="has a value that is not a number"):
        store.event("events", event(1, v="many"))
    with pytest.raises(FeatureError, match=r"has no value in its key \('event',\)"):
        store.event("events", event(1) | {"event": None})
    store.event("events", event(1) | {"at": None})
    with pytest.raises(FeatureError, match="the question has no fact 'k'"):
        store.vector({"asked": START})
    with pytest.raises(FeatureError, match="as_of"):
        store.vector({"k": "a", "asked": None})
    assert ask(store, 5) == [0, 0]
    assert store.newest is None


def test_a_question_older_than_what_is_kept_is_refused(opened: Open_) -> None:
    store = opened(one(COUNT), grace="30m")
    store.event("events", event(0))
    store.advance(START + 89 * MINUTE)
    assert ask(store, 59) == [1]
    with pytest.raises(FeatureError, match="rows are kept for questions from"):
        ask(store, 58)


def test_keys_are_those_of_python(opened: Open_) -> None:
    """5.0 and 5 are one key; text, a missing value and an absurd number are others."""
    spine = Spine("spine", ("question",), {"k": "float", "asked": "time"}, col("asked").minus("0m"))
    store = opened(FeatureSet("one", spine, [COUNT]))
    for number, key in enumerate([5, 5.0, "5", None, -0.0, 0, 5.5]):
        store.event("events", event(1, number, k=key))
    asked = {key: ask(store, 2, k=key)[0] for key in (5.0, 5.5, 0.0, "5", None, 2**70)}
    assert asked == {5.0: 2, 5.5: 1, 0.0: 2, "5": 1, None: None, 2**70: 0}


def test_how_far_it_is(opened: Open_) -> None:
    store = opened(one(COUNT))
    assert (store.newest, store.position("flights.0")) == (None, None)
    store.events([("events", event(7, 1)), ("events", event(3, 2))])
    store.set_position("flights.0", 12)
    store.set_position("flights.0", 9)
    store.set_position("flights.1", 3)
    assert store.newest == START + 7 * MINUTE
    assert [store.position(f"flights.{n}") for n in range(3)] == [12, 3, None]


def test_a_closing_waits_long_for_its_item(opened: Open_) -> None:
    store = opened(one(Open(items, closings, "k", "count", "1h")), grace="0m")
    store.event("closings", {"item": 1, "closed": START})
    for day in range(30):
        store.advance(START + day * DAY * MINUTE)
    for item in (1, 2):
        store.event("items", {"item": item, "due": START + 30 * DAY * MINUTE, "k": "a"})
    assert ask(store, 30 * DAY + 1) == [1]


def test_a_url_of_no_store() -> None:
    with pytest.raises(ConfigurationError, match="its scheme must be memory, redis") as caught:
        open_online_store("mysql://user:secret@host/db?x=secret", FEATURES, "case")
    assert "secret" not in str(caught.value)
    assert without_password("redis://:secret@host:6379/0") == "redis://host:6379/0"


# What only a server can get wrong.


def test_two_writers_at_once_are_as_good_as_one(valkey: ValkeyServer) -> None:
    chance = random.Random(3)
    rows = [event(chance.randrange(300), n, chance.choice("ab"), chance.randrange(9)) for n in range(2_000)]
    features = one(COUNT, TOTAL, Last(events, (), "v", "2h"))
    told = [("events", row) for row in rows]
    namespace = f"case {next(_numbers)}"
    alone = open_online_store("memory://", features, namespace)
    alone.events(told)

    def write(part: list[tuple[str, dict[str, Any]]]) -> int:
        store = open_online_store(valkey.url, features, namespace)
        return sum(store.events(part[start : start + 50]) for start in range(0, len(part), 50))

    with ThreadPoolExecutor(2) as pool:  # partitions of both overlap by a third
        assert list(pool.map(write, [told[:1_300], told[700:]])) == [1_300, 1_300]
    reader = open_online_store(valkey.url, features, namespace)
    for minute in range(0, 400, 7):
        for k in ("a", "b", "c"):
            assert ask(reader, minute, k) == ask(alone, minute, k)


def test_what_one_client_dropped_another_refuses_to_miss(valkey: ValkeyServer) -> None:
    namespace, features = f"case {next(_numbers)}", one(COUNT)
    writer = open_online_store(valkey.url, features, namespace, grace="30m")
    reader = open_online_store(valkey.url, features, namespace)
    writer.event("events", event(0))
    assert ask(reader, 10) == [1]
    writer.advance(START + 10 * HOUR * MINUTE)
    with pytest.raises(FeatureError, match="rows are kept for questions from"):
        ask(reader, 10)


def test_use_cases_and_layouts_do_not_mix(valkey: ValkeyServer) -> None:
    """One drops after an hour what the other needs for a day; they share a server and a use case."""
    namespace = f"case {next(_numbers)}"
    short = open_online_store(valkey.url, one(COUNT), namespace, grace="0m")
    long = open_online_store(valkey.url, one(Agg(events, "k", "count", "1d")), namespace, grace="0m")
    other = open_online_store(valkey.url, one(COUNT), f"{namespace} b", grace="0m")
    for store in (short, long):
        store.event("events", event(0))
    short.advance(START + 2 * HOUR * MINUTE)
    assert ask(long, 3 * HOUR) == [1]
    assert ask(other, 1) == [0]


def test_sets_that_keep_the_same_rows_share_them(valkey: ValkeyServer) -> None:
    """A new champion with other features of the same rows finds the store warm."""
    namespace = f"case {next(_numbers)}"
    open_online_store(valkey.url, one(TOTAL), namespace).event("events", event(0, v=7))
    other = one(Agg(events, "k", "max", "1h", "v", name="most"))
    assert ask(open_online_store(valkey.url, other, namespace), 1) == [7]


def test_dropping_leaves_nothing_behind(valkey: ValkeyServer) -> None:
    valkey.command("FLUSHALL")
    features = one(COUNT, Open(items, closings, "k", "count", "1h"))
    store = open_online_store(valkey.url, features, "growing", grace="0m")
    for hour in range(200):
        at = hour * HOUR
        store.event("events", event(at, hour, k=f"key {hour}"))
        store.event("items", {"item": hour, "due": START + at * MINUTE, "k": f"key {hour}"})
        store.advance(START + at * MINUTE)
    assert ask(store, 199 * HOUR, k="key 199") == [1, 1]
    assert int(valkey.command("DBSIZE")[1:]) <= 8
    store.event("closings", {"item": 1, "closed": START})
    store.advance(START + 400 * DAY * MINUTE)
    assert int(valkey.command("DBSIZE")[1:]) == 1


def test_a_foreign_value_is_an_error_and_no_vector(valkey: ValkeyServer) -> None:
    namespace = f"case {next(_numbers)}"
    store = open_online_store(valkey.url, one(COUNT), namespace)
    store.event("events", event(0))
    (key,) = [key for key in _keys(valkey, namespace) if b"events:k:" in key and b":index" not in key]
    for foreign in (b"not msgpack", b"\xc1", b"\x91\x01", b"\x93\xa1x\x01\x01"):
        valkey.command("ZADD", key, str(START), foreign)
        with pytest.raises(StoreError, match="where a row of ours should be"):
            ask(store, 1)
        valkey.command("ZREM", key, foreign)
    assert ask(store, 1) == [1]
    valkey.command("DEL", key)
    valkey.command("SET", key, "text")
    for use in (lambda: ask(store, 1), lambda: store.event("events", event(1, 1))):
        with pytest.raises(StoreError, match="WRONGTYPE"):
            use()


def _keys(valkey: ValkeyServer, namespace: str) -> list[bytes]:
    answer = valkey.command("KEYS", f"*{namespace}}}*")
    return [line for line in answer.split(b"\r\n") if line.startswith(b"mlplatform:")]


@pytest.mark.parametrize("durable", [True, False])
def test_a_killed_server_is_an_error_until_it_is_back(tmp_path: Any, durable: bool) -> None:
    """With its append-only file it knows what it knew; without, it is cold and `newest` says so."""
    program = valkey_program()
    if program is None:
        pytest.skip("no Valkey")
    with ValkeyServer(program, tmp_path, durable=durable) as server:
        store = open_online_store(server.url, one(COUNT, TOTAL), "case")
        store.event("events", event(0, v=4))
        store.set_position("s", 5)
        server.kill()
        for use in (lambda: ask(store, 1), lambda: store.event("events", event(1)), lambda: store.newest):
            with pytest.raises(StoreError, match="does not answer") as caught:
                use()
            assert "memory://" in caught.value.hint
        server.start()
        assert ask(store, 1) == ([1, 4] if durable else [0, 0])
        assert (store.newest, store.position("s")) == ((START, 5) if durable else (None, None))
        store.event("events", event(0, v=4))
        assert ask(store, 1) == [1, 4]


def test_a_table_of_the_lake_gives_the_same_as_batch(opened: Open_) -> None:
    """Rows as a frame's columns become Python values, decimals that are whole included."""
    rows = [
        {
            "event": n,
            "at": START + n * MINUTE,
            "k": "a",
            "n": 1,
            "v": n,
            "f": float(n) * -0.5,
            "b": n % 2 == 0,
        }
        | {"text": "x"}
        for n in range(30)
    ]
    asked = [{"question": n, "k": "a", "n": 1, "asked": START + 9 * n * MINUTE} for n in range(5)]
    history = History(rows, [], [], [], asked)
    store = opened()
    for name, row in history.deliveries():
        store.event(name, pl.DataFrame([row]).to_dicts()[0])
    assert_equals_batch(store, history)
