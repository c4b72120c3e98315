"""What is in the lake is told on the bus, once; a broker that is away holds up nothing and loses no count."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mlplatform.crosscutting.bus import Bus, open_bus
from mlplatform.crosscutting.bus.memory import MemoryBus
from mlplatform.crosscutting.bus.topics import SCORES_SERVED, ScoresServed
from mlplatform.errors import BusError
from mlplatform.online.served_log import ServedLog
from mlplatform.online.serving_told import ServingTold
from mlplatform.stores.lake import Write
from mlplatform_tests.crosscutting.brokers import Broker
from mlplatform_tests.online.test_served_log import NOW, answer, fill


class Away(MemoryBus):
    """Refuses until `back` is set, after it has taken `seconds` to do so."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__()
        self.back, self.asked, self._seconds = threading.Event(), threading.Event(), seconds

    def publish_many(self, topic: Any, messages: Sequence[Any]) -> list[int]:
        self.asked.set()
        if not self.back.wait(self._seconds) and not self.back.is_set():
            raise BusError("No broker answers.")
        return super().publish_many(topic, messages)


@contextmanager
def telling(open_bus: Callable[[], Bus], **more: int) -> Iterator[ServingTold]:
    told = ServingTold(open_bus, **more)
    told.start()
    try:
        yield told
    finally:
        told.close()


def log_of(told: ServingTold) -> ServedLog:
    return ServedLog(lambda writes: None, told=told.tell)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def heard(bus: Bus) -> list[ScoresServed]:
    return [each.envelope.data for each in bus.read(SCORES_SERVED, 0, 1000)]


def test_a_written_batch_is_one_message_per_use_case() -> None:
    bus = MemoryBus()
    written: list[Write] = []
    with telling(lambda: bus) as told:
        log = ServedLog(written.extend, told=told.tell)
        fill(log, 3)
        for number in range(2):
            other = msgspec.structs.replace(
                answer(number, "returns"), version=7, as_of=NOW + timedelta(hours=number)
            )
            log.add({"placed": "time"}, {"placed": 5}, [1.0], other)
        log.lost = 4
        log.flush()
        until(lambda: told.published == 2)
        first, second = heard(bus)
    assert (first.rows, first.versions, first.lost) == (3, {"1": 3}, 4)
    assert (second.use_case, second.rows, second.versions) == ("returns", 2, {"7": 2})
    assert (second.first_as_of, second.last_as_of) == (NOW, NOW + timedelta(hours=1))
    assert [each.partition for each in (first, second)] == [w.partitions[0] for w in written if w.partitions]


def test_what_the_lake_refuses_is_not_told() -> None:
    bus = MemoryBus()

    def refuse(writes: Sequence[Write]) -> None:
        raise BusError("the disk is full.")

    with telling(lambda: bus) as told:
        log = ServedLog(refuse, told=told.tell, patience=0.0)
        fill(log, 3)
        log.flush()
        assert (log.lost, told.status()["waiting"]) == (3, 0)
        assert heard(bus) == []


def test_a_broker_that_is_away_holds_up_nothing_and_hears_of_all_when_it_is_back() -> None:
    bus = Away(seconds=1.0)
    with telling(lambda: bus) as told:
        log = log_of(told)
        began = time.monotonic()
        for _ in range(3):
            fill(log, 2)
            log.flush()
        assert time.monotonic() - began < 0.9, "the log waited for the broker"
        assert (log.written, log.lost) == (6, 0)
        assert bus.asked.wait(10)
        until(lambda: told.trouble)
        assert told.status() == {"published": 0, "waiting": 3, "dropped": 0, "trouble": "No broker answers."}
        bus.back.set()
        until(lambda: told.published == 3)
        assert [each.rows for each in heard(bus)] == [2, 2, 2]
        until(lambda: told.status()["waiting"] == 0)


def test_what_waits_is_bounded() -> None:
    bus = Away()
    with telling(lambda: bus, most=2) as told:
        log = log_of(told)
        for count in range(1, 6):
            fill(log, count)
            log.flush()
        assert (told.status()["waiting"], told.dropped) == (2, 3)
        bus.back.set()
        until(lambda: told.published == 2)
        assert [each.rows for each in heard(bus)] == [4, 5], "the newest were dropped, or told twice"


def test_a_bus_that_cannot_be_opened_is_asked_again() -> None:
    bus, asked = MemoryBus(), list[int]()

    def opened() -> Bus:
        asked.append(1)
        if len(asked) == 1:
            raise BusError("No broker answers.")
        return bus

    with telling(opened) as told:
        log = log_of(told)
        fill(log, 1)
        log.flush()
        until(lambda: told.published == 1)
    assert len(asked) == 2


def test_the_end_does_not_wait_for_a_broker() -> None:
    bus = Away()
    with telling(lambda: bus) as told:
        log = log_of(told)
        fill(log, 1)
        log.close()
        until(lambda: told.trouble)
        began = time.monotonic()
    assert time.monotonic() - began < 1.0


@pytest.mark.parametrize("rows", [1, 500])
def test_over_a_real_broker(tmp_path: Path, rows: int) -> None:
    with Broker(tmp_path) as broker:
        with telling(lambda: open_bus(broker.url)) as told:
            log = log_of(told)
            fill(log, rows)
            log.close()
        with closing(open_bus(broker.url)) as bus:
            assert [each.rows for each in heard(bus)] == [rows]
