"""Consuming: retries in place, dead letters, a broker that goes away; nothing is lost or overtakes."""

import os
import signal
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mlplatform.crosscutting.bus import Bus, Envelope, Received, envelope, event_id, open_bus
from mlplatform.crosscutting.bus.consume import consume
from mlplatform.crosscutting.bus.topics import DEAD_LETTER, SOURCE_EVENT, DeadLetter, SourceEvent
from mlplatform.errors import BusError, ContractError
from mlplatform_tests.crosscutting.brokers import Broker

Item = Received[SourceEvent]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture
def bus() -> Iterator[Bus]:
    with closing(open_bus("memory://")) as opened:
        yield opened


def event(number: int, text: str = "") -> Envelope[SourceEvent]:
    document = msgspec.Raw(msgspec.json.encode({"number": number, "text": text}))
    data = SourceEvent(use_case="flight_delay", stream="flights", document=document)
    return envelope(SOURCE_EVENT, data, id=event_id("n", number), source="/tests", partitionkey="a")


def number_of(received: Item) -> int:
    return int(msgspec.json.decode(received.envelope.data.document)["number"])


def letters(bus: Bus) -> list[DeadLetter]:
    return [item.envelope.data for item in bus.read(DEAD_LETTER, 0, 1000)]


@contextmanager
def consuming(bus: Bus, handle: Callable[[Item], object], **options: Any) -> Iterator[Future[None]]:
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        options = {"backoff": 0.01, "wait": 0.1, **options}
        name = options.pop("name", "consumer")
        work = pool.submit(lambda: consume(bus, SOURCE_EVENT, name, handle, stop=stop, **options))
        try:
            yield work
        finally:
            stop.set()
        work.result(20)


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def test_a_message_that_fails_is_tried_again_with_growing_pauses_before_the_next_one(bus: Bus) -> None:
    bus.publish_many(SOURCE_EVENT, [event(number) for number in range(3)])
    calls: list[tuple[int, float]] = []

    def handle(received: Item) -> None:
        calls.append((number_of(received), time.monotonic()))
        if number_of(received) == 1 and len(calls) < 5:
            raise ContractError("not yet")

    with consuming(bus, handle, backoff=0.05):
        wait_for(lambda: len(calls) == 6)
    assert [number for number, _ in calls] == [0, 1, 1, 1, 1, 2]
    pauses = [after - before for (_, before), (_, after) in pairwise(calls[1:5])]
    assert pauses[0] >= 0.05
    assert pauses[1] >= 0.1
    assert pauses[2] >= 0.2
    assert letters(bus) == []


def test_what_always_fails_is_put_aside_once_and_the_next_ones_follow_in_order(bus: Bus) -> None:
    sequences = bus.publish_many(SOURCE_EVENT, [event(number) for number in range(5)])
    calls: list[int] = []

    def handle(received: Item) -> None:
        calls.append(number_of(received))
        if number_of(received) == 2:
            raise ZeroDivisionError("poison")

    with consuming(bus, handle, attempts=3):
        wait_for(lambda: calls[-1:] == [4])
    assert calls == [0, 1, 2, 2, 2, 3, 4]
    with consuming(bus, handle, attempts=3):
        time.sleep(0.3)
    assert calls == [0, 1, 2, 2, 2, 3, 4]
    (letter,) = letters(bus)
    assert (letter.topic, letter.consumer, letter.sequence) == ("source-event", "consumer", sequences[2])
    assert (letter.attempts, letter.reason) == (3, "ZeroDivisionError: poison")
    assert msgspec.json.decode(letter.original)["data"]["document"] == {"number": 2, "text": ""}


def test_each_consumer_puts_the_same_message_aside_for_itself_and_only_once(bus: Bus) -> None:
    bus.publish(SOURCE_EVENT, event(0))

    def handle(received: Item) -> None:
        raise ContractError("no", hint="Do something.")

    for name in ("one", "two"):
        with consuming(bus, handle, name=name, attempts=1):
            wait_for(lambda name=name: name in [letter.consumer for letter in letters(bus)])  # type: ignore[misc]
    assert [letter.consumer for letter in letters(bus)] == ["one", "two"]
    assert letters(bus)[0].reason == "ContractError: no Do something."


def test_a_crash_between_dead_letter_and_acknowledgement_sends_it_once(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlplatform.crosscutting.bus.memory import MemorySubscription

    class Crash(BaseException):
        pass

    def crash(*received: object) -> None:
        raise Crash

    def handle(received: Item) -> None:
        raise ContractError("no")

    bus.publish(SOURCE_EVENT, event(0))
    monkeypatch.setattr(MemorySubscription, "ack", crash)
    with pytest.raises(Crash):
        consume(bus, SOURCE_EVENT, "crasher", handle, stop=threading.Event(), attempts=1)
    monkeypatch.undo()
    calls: list[Item] = []

    def again(received: Item) -> None:
        calls.append(received)
        raise ContractError("no")

    with consuming(bus, again, name="crasher", attempts=1):
        wait_for(lambda: len(calls) == 1)
    assert len(letters(bus)) == 1


def test_a_large_poison_message_is_put_aside_shortened(bus: Bus) -> None:
    bus.publish(SOURCE_EVENT, event(0, "x" * 900_000))

    def handle(received: Item) -> None:
        raise ContractError("too much \ud800")

    with consuming(bus, handle, attempts=1):
        wait_for(lambda: len(letters(bus)) == 1)
    (letter,) = letters(bus)
    assert (letter.truncated, letter.encoding) == (True, "base64")
    assert b64decode(letter.original).startswith(b'{"id":')


def test_stopping_ends_it_soon_and_what_was_not_handled_comes_next_time(bus: Bus) -> None:
    bus.publish_many(SOURCE_EVENT, [event(number) for number in range(5)])
    calls: list[int] = []

    def handle(received: Item) -> None:
        calls.append(number_of(received))
        if number_of(received) == 2:
            raise ContractError("no")

    began = time.monotonic()
    with consuming(bus, handle, backoff=60):
        wait_for(lambda: calls[-1:] == [2])
    assert time.monotonic() - began < 5
    calls.clear()
    with consuming(bus, lambda received: calls.append(number_of(received))):
        wait_for(lambda: len(calls) == 3)
    assert calls == [2, 3, 4]
    assert letters(bus) == []


def test_a_closed_bus_and_a_wrong_name_end_it(bus: Bus) -> None:
    with pytest.raises(BusError, match="cannot be named"):
        consume(bus, SOURCE_EVENT, "a.b", lambda received: None, stop=threading.Event())
    with ThreadPoolExecutor(1) as pool:
        stop = threading.Event()
        work = pool.submit(consume, bus, SOURCE_EVENT, "a", lambda received: None, stop=stop)
        time.sleep(0.2)
        bus.close()
        with pytest.raises(BusError, match="closed"):
            work.result(5)


def test_bytes_that_are_no_message_are_put_aside(broker: Broker) -> None:
    with closing(open_bus(broker.url)) as bus:
        bus.publish(SOURCE_EVENT, event(1))
        bad = [b"not json", b"\xff\xfe", b'{"type": "x", "data": {"use_case": "late_orders"}}', b""]
        sequences = [broker.publish_bytes("mlplatform.source-event.flight_delay", payload) for payload in bad]
        bus.publish(SOURCE_EVENT, event(2))
        seen: list[int] = []
        with consuming(bus, lambda received: seen.append(number_of(received))):
            wait_for(lambda: seen == [1, 2])
        found = letters(bus)
    assert [letter.sequence for letter in found] == sequences
    assert [letter.encoding for letter in found] == ["text", "base64", "text", "text"]
    assert [letter.use_case for letter in found] == ["unknown", "unknown", "late_orders", "unknown"]
    originals = [
        b64decode(letter.original) if letter.encoding == "base64" else letter.original.encode()
        for letter in found
    ]
    assert originals == bad
    assert [letter.attempts for letter in found] == [0] * 4
    assert all("malformed" in letter.reason or "type 'x'" in letter.reason for letter in found)


@pytest.mark.parametrize("partition", [None, "a"])
def test_a_broker_that_is_killed_loses_nothing_and_breaks_no_order(
    tmp_path: Path, partition: str | None
) -> None:
    from mlplatform.crosscutting.bus.contract import partition_of

    part = None if partition is None else partition_of(partition)
    with Broker(tmp_path) as broker, closing(open_bus(broker.url)) as bus:
        bus.publish_many(SOURCE_EVENT, [event(number) for number in range(600)])
        seen: list[int] = []

        def handle(received: Item) -> None:
            seen.append(number_of(received))
            time.sleep(0.002)

        with consuming(bus, handle, limit=50, partition=part):
            for kill in (1, 2, 3):
                wait_for(lambda kill=kill: len(seen) > 120 * kill)  # type: ignore[misc]
                os.kill(broker.pid, signal.SIGKILL)
                broker.wait_restarted()
            wait_for(lambda: seen[-1:] == [599])
        assert letters(bus) == []
    first_times = list(dict.fromkeys(seen))
    assert first_times == list(range(600))
    assert len(seen) < 600 + 4 * 50


def test_an_outage_during_handling_is_no_attempt(tmp_path: Path) -> None:
    from mlplatform.crosscutting.bus.nats_jetstream import NatsBus

    with Broker(tmp_path) as broker, closing(NatsBus(broker.url, patience=0.1)) as bus:
        bus.publish(SOURCE_EVENT, event(0))
        tries: list[int] = []
        done = threading.Event()

        def handle(received: Item) -> None:
            tries.append(number_of(received))
            if len(tries) == 1:
                os.kill(broker.pid, signal.SIGKILL)
            bus.publish(DEAD_LETTER, _other_message())
            done.set()

        with consuming(bus, handle, attempts=1):
            assert done.wait(20)
        broker.wait_restarted()
        assert [letter.topic for letter in letters(bus)] == ["elsewhere"]


def _other_message() -> Envelope[DeadLetter]:
    data = DeadLetter(
        use_case="x", topic="elsewhere", consumer="c", sequence=1, reason="r", attempts=1, original=""
    )
    return envelope(DEAD_LETTER, data, id="elsewhere", source="/tests")
