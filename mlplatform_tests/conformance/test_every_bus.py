"""What every bus promises, over each implementation; the broker is a real nats-server on a free port."""

import itertools
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mlplatform.crosscutting.bus import Bus, Envelope, Received, envelope, event_id, open_bus
from mlplatform.crosscutting.bus.contract import MAX_BYTES
from mlplatform.crosscutting.bus.topics import (
    RAW_DATA_EXTRACTED,
    SOURCE_DATA_AVAILABLE,
    TOPICS,
    SourceDataAvailable,
)
from mlplatform.errors import BusError
from mlplatform_tests.crosscutting.brokers import Broker

_numbers = itertools.count()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("bröker home")) as running:
        yield running


@pytest.fixture(params=["memory", "nats"])
def bus(request: pytest.FixtureRequest) -> Iterator[Bus]:
    url = "memory://" if request.param == "memory" else request.getfixturevalue("broker").url
    with closing(open_bus(url)) as opened:
        yield opened


def message(
    partition: str = "2013-01-01", *, id: str | None = None, **other: Any
) -> Envelope[SourceDataAvailable]:
    data = SourceDataAvailable(use_case="flight_delay", data_set="flights", partition=partition, **other)
    unique = id or event_id("test", next(_numbers))
    return envelope(SOURCE_DATA_AVAILABLE, data, id=unique, source="/tests")


def partitions(received: list[Received[SourceDataAvailable]]) -> list[str]:
    return [item.envelope.data.partition for item in received]


def test_what_is_published_is_read_back_whole(bus: Bus) -> None:
    sent = message(uri="file:///day.csv", rows=842, sha256="ab" * 32, schema_version="1")
    sequence = bus.publish(SOURCE_DATA_AVAILABLE, sent)
    assert bus.read(SOURCE_DATA_AVAILABLE, sequence - 1, 10) == [Received(sequence, sent)]
    assert sent.type == "mlplatform.source-data-available.v1"


def test_order_is_that_of_publishing_and_sequences_grow(bus: Bus) -> None:
    days = [f"2013-01-{day:02}" for day in (3, 1, 2, 1, 9)]
    sequences = [bus.publish(SOURCE_DATA_AVAILABLE, message(day)) for day in days]
    assert sequences == sorted(set(sequences))
    received = bus.read(SOURCE_DATA_AVAILABLE, sequences[0] - 1, 10)
    assert partitions(received) == days
    assert [item.sequence for item in received] == sequences


def test_replay_starts_behind_the_position_and_stops_at_the_limit(bus: Bus) -> None:
    sequences = [bus.publish(SOURCE_DATA_AVAILABLE, message(str(number))) for number in range(6)]
    assert partitions(bus.read(SOURCE_DATA_AVAILABLE, sequences[1], 3)) == ["2", "3", "4"]
    assert partitions(bus.read(SOURCE_DATA_AVAILABLE, sequences[4], 3)) == ["5"]
    assert bus.read(SOURCE_DATA_AVAILABLE, sequences[5], 3) == []
    assert bus.read(SOURCE_DATA_AVAILABLE, sequences[5] + 1000, 3) == []
    assert bus.read(SOURCE_DATA_AVAILABLE, sequences[0], 0) == []


def test_an_id_is_stored_once_and_the_first_message_stays(bus: Bus) -> None:
    first = bus.publish(SOURCE_DATA_AVAILABLE, message("first", id="twice-in-one-topic"))
    bus.publish(SOURCE_DATA_AVAILABLE, message("between"))
    again = bus.publish(SOURCE_DATA_AVAILABLE, message("second", id="twice-in-one-topic"))
    assert again == first
    assert partitions(bus.read(SOURCE_DATA_AVAILABLE, first - 1, 10)) == ["first", "between"]


def test_topics_are_apart_even_for_one_id(bus: Bus) -> None:
    start = max(bus.last(topic) for topic in TOPICS.values())
    one = message("2013-02-01", id="in-two-topics")
    raw = RAW_DATA_EXTRACTED.data(
        use_case="flight_delay", data_set="flights", partition="2013-02-01", batch_id="b", rows=1, run_id="r"
    )
    two = envelope(RAW_DATA_EXTRACTED, raw, id="in-two-topics", source="/tests")
    first, second = bus.publish(SOURCE_DATA_AVAILABLE, one), bus.publish(RAW_DATA_EXTRACTED, two)
    assert second > first
    assert bus.read(SOURCE_DATA_AVAILABLE, start, 10) == [Received(first, one)]
    assert bus.read(RAW_DATA_EXTRACTED, start, 10) == [Received(second, two)]
    assert (bus.last(SOURCE_DATA_AVAILABLE), bus.last(RAW_DATA_EXTRACTED)) == (first, second)


def test_a_topic_without_messages_ends_at_zero(bus: Bus) -> None:
    assert bus.last(TOPICS["scoring-completed"]) == 0
    assert bus.read(TOPICS["scoring-completed"], 0, 10) == []


@pytest.mark.parametrize("text", ["Flüge 飛行機 ✈️", 'quote " and \\ slash', "line\nbreak", "0" * 5000])
def test_any_text_survives(bus: Bus, text: str) -> None:
    sequence = bus.publish(SOURCE_DATA_AVAILABLE, message(text, id=f"id {text}", uri=text))
    assert partitions(bus.read(SOURCE_DATA_AVAILABLE, sequence - 1, 1)) == [text]


def test_threads_share_one_bus(bus: Bus) -> None:
    start = bus.last(SOURCE_DATA_AVAILABLE)
    with ThreadPoolExecutor(8) as pool:
        sequences = list(pool.map(lambda n: bus.publish(SOURCE_DATA_AVAILABLE, message(str(n))), range(80)))
    received = bus.read(SOURCE_DATA_AVAILABLE, start, 100)
    assert {item.sequence: item.envelope.data.partition for item in received} == {
        sequence: str(number) for number, sequence in enumerate(sequences)
    }


def test_times_are_read_back_in_utc(bus: Bus) -> None:
    noon_in_berlin = datetime(2013, 7, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    data = message().data
    sent = envelope(
        SOURCE_DATA_AVAILABLE, data, id=event_id("noon", next(_numbers)), source="/t", time=noon_in_berlin
    )
    sequence = bus.publish(SOURCE_DATA_AVAILABLE, sent)
    (received,) = bus.read(SOURCE_DATA_AVAILABLE, sequence - 1, 1)
    assert received.envelope.time == datetime(2013, 7, 1, 10, tzinfo=UTC)
    assert received.envelope.time.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"type": "mlplatform.something-else.v1"}, "something-else"),
        ({"id": ""}, r"\$\.id"),
        ({"time": datetime(2013, 1, 1)}, r"\$\.time"),
        ({"data": message().data.__class__(use_case="a.b", data_set="d", partition="p")}, "use_case"),
        ({"data": SourceDataAvailable(use_case="a", data_set="d", partition="p", rows=-1)}, "rows"),
        ({"data": SourceDataAvailable(use_case="a", data_set=None, partition="p")}, "data_set"),  # type: ignore[arg-type]
        ({"data": SourceDataAvailable(use_case="a", data_set="d", partition="p" * MAX_BYTES)}, "bytes"),
        ({"data": SourceDataAvailable(use_case="a", data_set="\ud800", partition="p")}, "JSON"),
    ],
)
def test_a_wrong_message_is_refused_and_nothing_is_stored(
    bus: Bus, change: dict[str, Any], complaint: str
) -> None:
    before = bus.last(SOURCE_DATA_AVAILABLE)
    with pytest.raises(BusError, match=complaint):
        bus.publish(SOURCE_DATA_AVAILABLE, msgspec.structs.replace(message(), **change))
    assert bus.last(SOURCE_DATA_AVAILABLE) == before


def test_the_largest_message_allowed_passes(bus: Bus) -> None:
    room = MAX_BYTES - len(msgspec.json.encode(message(uri="")))
    sequence = bus.publish(SOURCE_DATA_AVAILABLE, message(uri="x" * room))
    (received,) = bus.read(SOURCE_DATA_AVAILABLE, sequence - 1, 1)
    assert received.envelope.data.uri == "x" * room


def test_a_closed_bus_says_so(bus: Bus) -> None:
    bus.close()
    bus.close()
    with pytest.raises(BusError, match="closed"):
        bus.last(SOURCE_DATA_AVAILABLE)


def test_a_stored_message_nobody_can_read_is_named_and_can_be_skipped(broker: Broker) -> None:
    with closing(open_bus(broker.url)) as bus:
        first = bus.publish(SOURCE_DATA_AVAILABLE, message("before"))
        bad = [
            broker.publish_bytes("mlplatform.source-data-available.flight_delay", payload)
            for payload in (
                b"",
                b"not json",
                b'{"type": "\xff"}',
                b'{"type": "mlplatform.unknown.v7"}',
                b"[]",
            )
        ]
        last = bus.publish(SOURCE_DATA_AVAILABLE, message("after"))
        assert partitions(bus.read(SOURCE_DATA_AVAILABLE, first - 1, 1)) == ["before"]
        with pytest.raises(BusError, match=f"Message {bad[0]} cannot be read"):
            bus.read(SOURCE_DATA_AVAILABLE, first, 10)
        seen: list[int] = []
        received = bus.read(
            SOURCE_DATA_AVAILABLE, first, 10, on_unreadable=lambda sequence, error: seen.append(sequence)
        )
    assert seen == bad
    assert [item.sequence for item in received] == [last]


def test_acknowledged_messages_survive_kill_9_of_the_broker(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker, closing(open_bus(broker.url)) as bus, ThreadPoolExecutor(1) as pool:
        acknowledged: list[str] = []

        def publish_all() -> None:
            for number in range(400):
                bus.publish(SOURCE_DATA_AVAILABLE, message(str(number), id=f"day-{number}"))
                acknowledged.append(str(number))

        work = pool.submit(publish_all)
        for kill in range(1, 4):
            while len(acknowledged) < 100 * kill and not work.done():
                time.sleep(0.001)
            os.kill(broker.pid, signal.SIGKILL)
            broker.wait_restarted()
        work.result()
        received = bus.read(SOURCE_DATA_AVAILABLE, 0, 1000)
        again = bus.publish(SOURCE_DATA_AVAILABLE, message("again", id="day-7"))
    assert partitions(received) == acknowledged == [str(number) for number in range(400)]
    assert again == received[7].sequence


def test_without_a_broker_the_error_says_what_to_do(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker:
        url = broker.url
    with pytest.raises(BusError, match=r"No broker answers at nats://127\.0\.0\.1") as caught:
        open_bus(url.replace("nats://", "nats://user:secret@"))
    assert "mlplatform up" in caught.value.hint
    assert "secret" not in str(caught.value)


def test_a_broker_that_stays_away_ends_the_call(tmp_path: Path) -> None:
    from mlplatform.crosscutting.bus.nats_jetstream import NatsBus

    with Broker(tmp_path) as broker:
        bus = NatsBus(broker.url, patience=0.3)
    with closing(bus), pytest.raises(BusError, match="No broker answers"):
        bus.publish(SOURCE_DATA_AVAILABLE, message())
