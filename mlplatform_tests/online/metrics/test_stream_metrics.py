"""`/metrics` of ingestion and preparation: events from their acceptance to the archive and the features."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mlplatform.crosscutting.bus import Bus, envelope
from mlplatform.crosscutting.bus.memory import MemoryBus
from mlplatform.crosscutting.bus.topics import DEAD_LETTER, SOURCE_EVENT, DeadLetter
from mlplatform.errors import BusError
from mlplatform.online.acceptor import Acceptor
from mlplatform.online.archiver import Archiver
from mlplatform.online.events import messages
from mlplatform.online.ingestion_http import application
from mlplatform.online.metrics.families import INGESTION, PREPARATION
from mlplatform.online.metrics.ingestion import DeadLetters
from mlplatform.online.preparation import Preparation
from mlplatform.online.preparation_server import application as preparing
from mlplatform.stores.lake import Lake
from mlplatform.stores.raw import RawStore
from mlplatform_tests.online.metrics.scraped import ask, scrape
from mlplatform_tests.online.stream_world import STREAM, events, fill, streams, world_orders
from mlplatform_tests.online.world import USE_CASE

EVENT = {"time": "2013-01-01T00:00:00Z", "data": {}}
KEY = {"use_case": "u", "stream": "clicks"}


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    with closing(Lake(tmp_path / "catalog.sqlite", tmp_path / "data")) as made:
        yield made


def put_aside(bus: Bus, number: int, consumer: str = "batch-scoring") -> None:
    letter = DeadLetter(
        use_case="u",
        topic="scoring-requested",
        consumer=consumer,
        sequence=number,
        reason="it cannot be",
        attempts=3,
        original="{}",
        encoding="text",
        truncated=False,
    )
    bus.publish(DEAD_LETTER, envelope(DEAD_LETTER, letter, id=f"{consumer} {number}", source="/test"))


def test_events_on_their_way(tmp_path: Path, lake: Lake) -> None:
    bus = MemoryBus()
    store = RawStore(tmp_path / "raw", lake)
    with closing(Archiver(bus, store, "u", ["clicks"], lock=tmp_path / "lock", seconds=0)) as archiver:
        app = application(Acceptor(bus, {"u": ["clicks"]}), [archiver], letters=DeadLetters(bus))
        archiver.poll()
        for number in range(3):
            body = [EVENT | {"id": f"{number} {place}"} for place in range(2)]
            assert ask(app, "POST", "/events/clicks", json=body).status_code == 202
        assert ask(app, "POST", "/events/clicks", json={}).status_code == 400
        told = scrape(app)
        assert told("mlplatform_events_accepted_total", **KEY) == 6
        assert told("mlplatform_event_requests_refused_total", **KEY) == 1
        assert told("mlplatform_events_in_flight", **KEY) == 0
        assert told("mlplatform_events_archived_total", use_case="u") == 0
        assert told("mlplatform_archive_lag_messages", **KEY) == 6
        assert told("mlplatform_http_requests_total", route="/events/{stream}", status="202") == 3
        assert told("mlplatform_http_refusals_total", kind="wrong") == 1
        assert told.all("mlplatform_dead_letters_total") == {}
        archiver.poll()
        for number in range(3):
            put_aside(bus, number)
        put_aside(bus, 0, "another")
        told = scrape(app)
        assert told("mlplatform_events_archived_total", use_case="u") == 6
        assert told("mlplatform_archive_lag_messages", **KEY) == 0
        letters = {dict(k)["consumer"]: n for k, n in told.all("mlplatform_dead_letters_total").items()}
        assert letters == {"batch-scoring": 3, "another": 1}
        put_aside(bus, 3)
        again = scrape(app).all("mlplatform_dead_letters_total")
        assert sum(again.values()) == 5
        assert told("mlplatform_broker_up") == 1


def test_a_broker_that_is_away_costs_no_metrics() -> None:
    class Away(MemoryBus):
        def read(self, *_: Any, **__: Any) -> Any:
            raise BusError("No broker answers.")

        def publish_many(self, *_: Any) -> Any:
            raise BusError("No broker answers.")

    bus = Away()
    app = application(Acceptor(bus, {"u": ["clicks"]}), letters=DeadLetters(bus))
    scrape(app)
    assert ask(app, "POST", "/events/clicks", json=EVENT | {"id": "1"}).status_code == 503
    told = scrape(app)
    assert told("mlplatform_broker_up") == 0
    assert told("mlplatform_http_refusals_total", kind="unavailable") == 1


def test_questions_are_prepared(tmp_path: Path, lake: Lake) -> None:
    bus, frame = MemoryBus(), world_orders(20)
    fill(lake, frame)
    found = events(frame)
    bus.publish_many(SOURCE_EVENT, messages(USE_CASE, STREAM, found[: len(found) // 2]))
    with closing(Preparation(bus, lake, streams(), locks=tmp_path, seconds=0)) as preparation:
        app = preparing([preparation], last=lambda: bus.last(SOURCE_EVENT))
        labels = {"use_case": USE_CASE, "share": "0of1"}
        told = scrape(app)
        assert told("mlplatform_trouble", use_case=USE_CASE) == 1  # it has not begun
        assert told("mlplatform_features_keys", use_case=USE_CASE) == 0
        while preparation.poll():
            pass
        bus.publish_many(SOURCE_EVENT, messages(USE_CASE, STREAM, found[len(found) // 2 :]))
        told = scrape(app)
    assert told("mlplatform_trouble", use_case=USE_CASE) == 0
    assert told("mlplatform_prepared_rows_total", **labels) == preparation.rows > 0
    assert told("mlplatform_preparation_pending", **labels) == preparation.pending > 0
    assert told("mlplatform_preparation_position", **labels) == len(found) // 2
    assert told("mlplatform_preparation_lag_messages", **labels) == len(found) - len(found) // 2
    assert told("mlplatform_features_keys", use_case=USE_CASE) > 10
    newest = found[len(found) // 2 - 1].time.timestamp()
    assert told("mlplatform_preparation_newest_timestamp_seconds", **labels) == newest


@pytest.mark.parametrize("families", [INGESTION, PREPARATION])
def test_names_follow_the_conventions_of_prometheus(families: Any) -> None:
    for family in families:
        assert (family.kind == "counter") == family.name.endswith("_total"), family.name
    assert len({family.name for family in families}) == len(families)
