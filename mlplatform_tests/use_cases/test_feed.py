"""The feed of one real day: every flight once per kind, in order, by ids that a repetition repeats."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from benchmarks.ingestion import day_tables
from mlplatform.offline import project
from mlplatform.use_cases.flight_delay.feed import feed

DAY = "2013-02-08"  # a blizzard: 472 flights were cancelled


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    declared = project.load(project.find("flight_delay", Path.cwd()))
    return day_tables(declared, DAY)


@pytest.fixture(scope="module")
def events(tables: dict[str, pl.DataFrame]) -> list[dict[str, Any]]:
    return list(feed(tables))


def test_every_flight_has_its_events(tables: dict[str, pl.DataFrame], events: list[dict[str, Any]]) -> None:
    flights = tables["flights"]
    counts = Counter(event["data"]["type"] for event in events)
    diverted = flights.filter(pl.col("dep_time").is_not_null() & pl.col("arr_time").is_null()).height
    assert counts["schedule"] == flights.height == 930
    assert counts["cancellation"] == 472
    assert counts["departure"] + counts["cancellation"] == flights.height
    assert counts["arrival"] + counts["cancellation"] + diverted == flights.height
    assert counts["weather"] == tables["weather"].height == 72


def test_order_and_ids(tables: dict[str, pl.DataFrame], events: list[dict[str, Any]]) -> None:
    times = [event["time"] for event in events]
    assert times == sorted(times)
    assert len({event["id"] for event in events}) == len(events)
    shuffled = {
        name: table.sample(fraction=1, shuffle=True, seed=1)
        for name, table in tables.items()
        if name in ("flights", "weather")
    }
    assert list(feed(shuffled)) == events


def test_when_each_kind_is_known(events: list[dict[str, Any]]) -> None:
    evening = datetime(2013, 2, 7, 23, tzinfo=UTC)  # 18:00 in New York
    for event in events:
        data = event["data"]
        match data["type"]:
            case "schedule":
                assert event["time"] == evening
                assert not {"dep_time", "arr_time", "dep_delay", "arr_delay", "late"} & set(data)
            case "departure":
                assert event["time"] == data["dep_time"]
                assert not {"arr_time", "arr_delay", "late"} & set(data)
            case "arrival":
                assert event["time"] == data["arr_time"]
            case "cancellation":
                assert event["time"] == data["sched_dep"] + timedelta(hours=3)
            case "weather":
                assert event["time"] == data["time_hour"] + timedelta(hours=1)
        assert None not in data.values()
        assert event["key"] == data["key"]
