"""What every bus promises, over each implementation; brokers are real servers on free ports.

A Kafka-protocol server is used if there is one, see `brokers.kafka_program`.
"""

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mlplatform.crosscutting.bus import Bus, Envelope, Received, envelope, event_id, open_bus
from mlplatform.crosscutting.bus.contract import MAX_BYTES, PARTITIONS, Subscription, partition_of
from mlplatform.crosscutting.bus.topics import (
    RAW_DATA_EXTRACTED,
    SOURCE_DATA_AVAILABLE,
    SOURCE_EVENT,
    TOPICS,
    SourceDataAvailable,
    SourceEvent,
)
from mlplatform.errors import BusError
from mlplatform_tests.crosscutting.brokers import Broker, KafkaServer, kafka_program

_numbers = itertools.count()

Foreign = Callable[[bytes], int]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("bröker home")) as running:
        yield running


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    program = kafka_program()
    if program is None:
        pytest.skip("no Kafka server")
    with KafkaServer(program, tmp_path_factory.mktemp("kafka")) as running:
        yield running


@pytest.fixture(params=["memory", "nats", "kafka"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "memory":
        return "memory://"
    return str(request.getfixturevalue("broker" if request.param == "nats" else "kafka").url)


@pytest.fixture
def bus(url: str) -> Iterator[Bus]:
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


def test_a_repetition_that_is_meant_is_stored_under_the_same_id_each_once(bus: Bus) -> None:
    sent = message("once more", id=f"meant-{next(_numbers)}")
    first = bus.publish(SOURCE_DATA_AVAILABLE, sent)
    second, same = (bus.publish(SOURCE_DATA_AVAILABLE, sent, again="redrive-1") for _ in range(2))
    third = bus.publish(SOURCE_DATA_AVAILABLE, sent, again="redrive-2")
    assert first < second == same < third
    assert bus.publish(SOURCE_DATA_AVAILABLE, sent) == first
    assert bus.read(SOURCE_DATA_AVAILABLE, first - 1, 10) == [
        Received(sequence, sent) for sequence in (first, second, third)
    ]


def test_topics_are_apart_even_for_one_id(bus: Bus) -> None:
    starts = bus.last(SOURCE_DATA_AVAILABLE), bus.last(RAW_DATA_EXTRACTED)
    one = message("2013-02-01", id="in-two-topics")
    raw = RAW_DATA_EXTRACTED.data(
        use_case="flight_delay", data_set="flights", partition="2013-02-01", batch_id="b", rows=1, run_id="r"
    )
    two = envelope(RAW_DATA_EXTRACTED, raw, id="in-two-topics", source="/tests")
    first, second = bus.publish(SOURCE_DATA_AVAILABLE, one), bus.publish(RAW_DATA_EXTRACTED, two)
    assert bus.read(SOURCE_DATA_AVAILABLE, starts[0], 10) == [Received(first, one)]
    assert bus.read(RAW_DATA_EXTRACTED, starts[1], 10) == [Received(second, two)]
    assert (bus.last(SOURCE_DATA_AVAILABLE), bus.last(RAW_DATA_EXTRACTED)) == (first, second)


@pytest.mark.parametrize("url", ["memory", "nats"], indirect=True)  # Kafka has no sequence over topics
def test_sequences_grow_over_all_topics_together(bus: Bus) -> None:
    start = max(bus.last(topic) for topic in TOPICS.values())
    first = bus.publish(SOURCE_DATA_AVAILABLE, message())
    raw = RAW_DATA_EXTRACTED.data(
        use_case="flight_delay", data_set="flights", partition="p", batch_id="b", rows=1, run_id="r"
    )
    second = bus.publish(RAW_DATA_EXTRACTED, envelope(RAW_DATA_EXTRACTED, raw, id="grow", source="/tests"))
    assert start < first < second


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


UNREADABLE = [b"", b"not json", b'{"type": "\xff"}', b'{"type": "mlplatform.unknown.v7"}', b"[]"]


@pytest.fixture
def foreign(request: pytest.FixtureRequest, url: str) -> Foreign:
    """Stores any bytes in the topic source-data-available, as a foreign program could."""
    if url.startswith("kafka"):
        kafka: KafkaServer = request.getfixturevalue("kafka")
        return lambda payload: kafka.publish_bytes("source-data-available", payload)
    broker: Broker = request.getfixturevalue("broker")
    return lambda payload: broker.publish_bytes("mlplatform.source-data-available.flight_delay", payload)


@pytest.mark.parametrize("url", ["nats", "kafka"], indirect=True)  # nobody else reaches a bus in memory
def test_a_stored_message_nobody_can_read_is_named_and_can_be_skipped(bus: Bus, foreign: Foreign) -> None:
    first = bus.publish(SOURCE_DATA_AVAILABLE, message("before"))
    bad = [foreign(payload) for payload in UNREADABLE]
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


def event(key: str, number: int, *, id: str | None = None) -> Envelope[SourceEvent]:
    document = msgspec.Raw(msgspec.json.encode({"number": number}))
    data = SourceEvent(use_case="flight_delay", stream="flights", document=document)
    unique = id or event_id("event", next(_numbers))
    return envelope(SOURCE_EVENT, data, id=unique, source="/tests", partitionkey=key)


def number_of(received: Received[SourceEvent]) -> int:
    return int(msgspec.json.decode(received.envelope.data.document)["number"])


def fetched(subscription: Subscription[SourceEvent], count: int) -> list[Received[SourceEvent]]:
    """Exactly `count` messages, and no more behind them."""
    found: list[Received[SourceEvent]] = []
    deadline = time.monotonic() + 10
    while len(found) < count and time.monotonic() < deadline:
        found += subscription.fetch(count - len(found), 1)
    assert subscription.fetch(1, 0.2) == []
    assert len(found) == count
    return found


@pytest.fixture
def reader(bus: Bus) -> str:
    """Name of a reader that has read everything before this test."""
    name = f"reader-{next(_numbers)}"
    caught_up(bus, name)
    return name


def caught_up(bus: Bus, name: str, partition: int | None = None) -> None:
    with closing(bus.subscribe(SOURCE_EVENT, name, partition=partition)) as subscription:
        while batch := subscription.fetch(5000, 0.3):
            subscription.ack(*batch)


def test_many_are_stored_in_the_order_given_and_each_id_once(bus: Bus) -> None:
    start = bus.last(SOURCE_EVENT)
    sent = [event(f"key-{number % 10}", number) for number in range(1000)]
    repeated = [*sent[:3], *sent, event("key-1", -1, id=sent[5].id)]
    sequences = bus.publish_many(SOURCE_EVENT, repeated)
    assert sequences == [*sequences[:3], *sequences[:3], *sequences[6:-1], sequences[8]]
    received = bus.read(SOURCE_EVENT, start, 2000)
    assert [number_of(item) for item in received] == list(range(1000))
    assert [item.sequence for item in received] == sequences[3:-1] == sorted(sequences[3:-1])
    assert bus.publish_many(SOURCE_EVENT, sent) == sequences[3:-1]
    assert bus.publish(SOURCE_EVENT, sent[7]) == sequences[10]
    assert bus.publish_many(SOURCE_EVENT, []) == []


def test_of_many_with_a_wrong_one_none_is_stored(bus: Bus) -> None:
    before = bus.last(SOURCE_EVENT)
    with pytest.raises(BusError, match="id"):
        bus.publish_many(SOURCE_EVENT, [event("a", 1), msgspec.structs.replace(event("a", 2), id="")])
    assert bus.last(SOURCE_EVENT) == before


def test_a_reader_begins_at_the_first_message_and_goes_on_where_it_was(bus: Bus) -> None:
    bus.publish_many(SOURCE_EVENT, [event("a", number) for number in range(3)])
    everything = bus.read(SOURCE_EVENT, 0, 100_000)
    name = f"from-the-start-{next(_numbers)}"
    with closing(bus.subscribe(SOURCE_EVENT, name)) as subscription:
        received = fetched(subscription, len(everything))
        subscription.ack(*received)
    assert received == everything
    more = bus.publish(SOURCE_EVENT, event("a", 3))
    with closing(bus.subscribe(SOURCE_EVENT, name)) as subscription:
        assert [item.sequence for item in fetched(subscription, 1)] == [more]


def test_what_is_not_acknowledged_comes_to_the_next_reader_in_order(bus: Bus, reader: str) -> None:
    bus.publish_many(SOURCE_EVENT, [event("a", number) for number in range(10)])
    with closing(bus.subscribe(SOURCE_EVENT, reader)) as subscription:
        subscription.ack(*fetched(subscription, 10)[:4])
    bus.publish(SOURCE_EVENT, event("a", 10))
    with closing(bus.subscribe(SOURCE_EVENT, reader)) as subscription:
        assert [number_of(item) for item in fetched(subscription, 7)] == list(range(4, 11))


def test_what_is_not_acknowledged_comes_again_after_a_while(bus: Bus, reader: str) -> None:
    bus.publish_many(SOURCE_EVENT, [event("a", number) for number in range(3)])
    with closing(bus.subscribe(SOURCE_EVENT, reader, ack_wait=0.5)) as subscription:
        received = fetched(subscription, 3)
        subscription.ack(received[1])
        time.sleep(0.6)
        again = [*subscription.fetch(10, 1), *subscription.fetch(10, 0.1)]
        subscription.ack(*again)
        assert [number_of(item) for item in again] == [0, 2]
        time.sleep(0.6)
        assert subscription.fetch(10, 0.1) == []


def test_two_names_are_independent(bus: Bus, reader: str) -> None:
    other = f"{reader}-other"
    caught_up(bus, other)
    bus.publish_many(SOURCE_EVENT, [event("a", number) for number in range(5)])
    with (
        closing(bus.subscribe(SOURCE_EVENT, reader)) as one,
        closing(bus.subscribe(SOURCE_EVENT, other)) as two,
    ):
        one.ack(*fetched(one, 5))
        assert [number_of(item) for item in fetched(two, 5)] == list(range(5))


def test_a_fetch_waits_for_the_first_message_and_no_longer(bus: Bus, reader: str) -> None:
    with closing(bus.subscribe(SOURCE_EVENT, reader)) as subscription, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(subscription.fetch, 10, 10)
        time.sleep(0.3)
        bus.publish(SOURCE_EVENT, event("a", 7))
        began = time.monotonic()
        assert [number_of(item) for item in waiting.result()] == [7]
    assert time.monotonic() - began < 3


def test_readers_of_all_partitions_get_everything_once_and_each_key_in_order(bus: Bus) -> None:
    name = f"parts-{next(_numbers)}"
    for partition in range(PARTITIONS):
        caught_up(bus, name, partition)
    seen: list[tuple[int, str, int]] = []
    over = threading.Event()

    def read(mine: list[int]) -> None:
        subscriptions = {part: bus.subscribe(SOURCE_EVENT, name, partition=part) for part in mine}
        while not over.is_set():
            for part, subscription in subscriptions.items():
                for item in (batch := subscription.fetch(20, 0.02)):
                    seen.append((part, item.envelope.partitionkey or "", number_of(item)))
                subscription.ack(*batch)
        for subscription in subscriptions.values():
            subscription.close()

    with ThreadPoolExecutor(4) as pool:
        work = [pool.submit(read, list(range(first, PARTITIONS, 4))) for first in range(4)]
        for start in range(0, 200, 50):
            bus.publish_many(SOURCE_EVENT, [event(f"key-{n % 10}", n) for n in range(start, start + 50)])
        deadline = time.monotonic() + 20
        while len(seen) < 200 and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.2)
        over.set()
    for done in work:
        done.result()
    assert sorted(number for _, _, number in seen) == list(range(200))
    assert all(part == partition_of(key) for part, key, _ in seen)
    for key in {key for _, key, _ in seen}:
        assert (numbers := [number for _, of, number in seen if of == key]) == sorted(numbers)


@pytest.mark.parametrize(("name", "partition"), [("a.b", None), ("", None), ("a", PARTITIONS), ("a", -1)])
def test_a_wrong_name_or_partition_is_refused(bus: Bus, name: str, partition: int | None) -> None:
    with pytest.raises(BusError) as caught:
        bus.subscribe(SOURCE_EVENT, name, partition=partition)
    assert caught.value.hint


def read_on(subscription: Subscription[SourceDataAvailable]) -> None:
    while subscription.fetch(1000, 1):
        time.sleep(0)


@pytest.mark.parametrize("url", ["nats", "kafka"], indirect=True)
def test_a_reader_can_take_what_nobody_can_read(bus: Bus, foreign: Foreign) -> None:
    name = f"unreadable-{next(_numbers)}"
    start = bus.publish(SOURCE_DATA_AVAILABLE, message("before"))
    bad = {foreign(payload): payload for payload in UNREADABLE}
    bus.publish(SOURCE_DATA_AVAILABLE, message("after"))
    taken: dict[int, bytes] = {}

    def take(sequence: int, payload: bytes, error: BusError) -> None:
        taken[sequence] = payload

    with closing(bus.subscribe(SOURCE_DATA_AVAILABLE, name)) as subscription:
        with pytest.raises(BusError, match="cannot be read"):
            read_on(subscription)
        received: list[Received[SourceDataAvailable]] = []
        while not received or received[-1].envelope.data.partition != "after":
            received += subscription.fetch(1000, 1, on_unreadable=take)
        subscription.ack(*received)
    assert {sequence: payload for sequence, payload in taken.items() if sequence > start} == bad
    assert partitions([item for item in received if item.sequence >= start]) == ["before", "after"]
    with closing(bus.subscribe(SOURCE_DATA_AVAILABLE, name)) as subscription:
        assert subscription.fetch(10, 0.5) == []


def test_closing_ends_a_waiting_fetch(url: str) -> None:
    if url.startswith("kafka"):
        pytest.skip("does not apply: a Kafka subscription has a connection of its own")
    bus = open_bus(url)
    subscription = bus.subscribe(SOURCE_EVENT, f"waiting-{next(_numbers)}")
    while batch := subscription.fetch(5000, 0.1):
        subscription.ack(*batch)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(subscription.fetch, 10, 30)
        time.sleep(0.2)
        bus.close()
        with pytest.raises(BusError, match="closed"):
            waiting.result(5)


def test_a_reader_goes_on_where_it_was_after_kill_9_of_the_broker(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker, closing(open_bus(broker.url)) as bus:
        bus.publish_many(SOURCE_EVENT, [event("a", number) for number in range(100)])
        subscription = bus.subscribe(SOURCE_EVENT, "survivor", partition=partition_of("a"))
        subscription.ack(*subscription.fetch(40, 1))
        time.sleep(1)  # an acknowledgement of the last moment may be lost, then messages come again
        in_hand = subscription.fetch(10, 1)
        os.kill(broker.pid, signal.SIGKILL)
        broker.wait_restarted()
        subscription.ack(*in_hand[:5])
        rest: list[int] = []
        while batch := subscription.fetch(100, 0.5):
            rest += [number_of(item) for item in batch]
            subscription.ack(*batch)
    assert rest == list(range(45, 100))


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


def test_following_tells_of_what_is_there_and_of_what_comes(bus: Bus) -> None:
    first = bus.publish(SOURCE_EVENT, event("a", 0))
    for number in (1, 2):
        bus.publish(SOURCE_EVENT, event("a", number))
    following = bus.follow(SOURCE_EVENT, first)
    with closing(following):
        found = following.fetch(1, 10)
        while len(found) < 2:
            found += following.fetch(10, 10)
        assert [number_of(item) for item in found] == [1, 2]
        assert following.fetch(10, 0.01) == []
        later = threading.Timer(0.2, lambda: bus.publish(SOURCE_EVENT, event("b", 3)))
        later.start()
        (came,) = following.fetch(10, 10)
        later.join()
    assert number_of(came) == 3
    assert came.sequence == bus.last(SOURCE_EVENT)


def test_following_many_keeps_their_order_and_leaves_none_out(bus: Bus) -> None:
    start = bus.last(SOURCE_EVENT)
    sent = bus.publish_many(SOURCE_EVENT, [event("k", number) for number in range(3000)])
    with closing(bus.follow(SOURCE_EVENT, start)) as following:
        found: list[Received[SourceEvent]] = []
        while len(found) < 3000 and (more := following.fetch(700, 10)):
            found += more
    assert [item.sequence for item in found] == sent


@pytest.mark.parametrize("url", ["nats"], indirect=True)
def test_following_goes_on_behind_a_killed_broker(bus: Bus, broker: Broker) -> None:
    start = bus.last(SOURCE_EVENT)
    with closing(bus.follow(SOURCE_EVENT, start)) as following:
        bus.publish(SOURCE_EVENT, event("a", 1))
        assert [number_of(item) for item in following.fetch(10, 10)] == [1]
        os.kill(broker.pid, signal.SIGKILL)
        broker.wait_restarted()
        bus.publish(SOURCE_EVENT, event("a", 2))
        assert [number_of(item) for item in following.fetch(10, 10)] == [2]
