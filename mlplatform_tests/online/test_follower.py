"""Scoring with the stream: an accepted event is visible to the next score, a broker may be away."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import polars as pl
import pytest
from msgspec import Raw

from mlplatform.crosscutting.bus import Bus, Received, open_bus
from mlplatform.crosscutting.bus.contract import D, Topic, Unreadable
from mlplatform.crosscutting.bus.memory import MemoryBus, MemoryFollowing
from mlplatform.crosscutting.bus.topics import SOURCE_EVENT
from mlplatform.errors import BusError
from mlplatform.online.archiver import Archiver
from mlplatform.online.event_rows import EventRows, Row, schemas
from mlplatform.online.events import messages
from mlplatform.online.recovery import StreamFollowing
from mlplatform.online.streams import publish
from mlplatform.stages.preparation import batch
from mlplatform.stores.lake import Lake, Table
from mlplatform.stores.raw import RawStore
from mlplatform.stores.warmup import Memory, warm
from mlplatform_tests.crosscutting.brokers import Broker
from mlplatform_tests.online.stream_world import STREAM, events, fill, streams, world_orders
from mlplatform_tests.online.world import FEATURES, SHOPS, USE_CASE

FRAME = world_orders()
EVENTS = events(FRAME)
SPINE = FEATURES.spine


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    publish(tmp_path, streams())
    with closing(Lake(tmp_path / "catalog.sqlite", tmp_path / "data")) as opened:
        fill(opened, FRAME)
        yield opened


class Shared(MemoryBus):
    """A bus in memory that its users close and open again."""

    def close(self) -> None:
        """It stays."""


def until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.002)


def send(bus: Bus, first: int, last: int) -> int:
    return bus.publish_many(SOURCE_EVENT, messages(USE_CASE, STREAM, EVENTS[first:last]))[-1]


def position(following: StreamFollowing, memory: Memory) -> int:
    return int(following.status(USE_CASE, memory).get("position", 0))


def assert_as_batch(memory: Memory, cut: int) -> None:
    """Questions of the newest orders that memory knows get the vectors of the batch executor."""
    now = EVENTS[cut - 1].time
    asked = FRAME.filter(FRAME["placed"] <= now).tail(20)
    expected = batch.compute(FEATURES, asked, {"orders": FRAME, "shops": SHOPS})
    for row, features in zip(asked.iter_rows(named=True), expected.iter_rows(named=True), strict=True):
        facts = {name: row[name] for name in SPINE.facts}
        facts["placed"] = round(row["placed"].timestamp()) * 1_000_000
        assert memory.features.vector(facts) == [features[name] for name in FEATURES.names]


def test_a_memory_catches_up_before_it_is_used_and_is_kept_up_to_date(lake: Lake, tmp_path: Path) -> None:
    bus, half = Shared(), len(EVENTS) // 2
    send(bus, 0, half - 50)
    store, lock = RawStore(tmp_path / "raw", lake), tmp_path / "lock"
    with closing(Archiver(bus, store, USE_CASE, [STREAM], lock=lock, seconds=0)) as archiver:
        archiver.poll()
    last = send(bus, half - 50, half)
    following, memory = StreamFollowing(tmp_path, lake, lambda: bus), warm(lake, USE_CASE, FEATURES)
    following.join(USE_CASE, memory)
    assert position(following, memory) == last
    assert_as_batch(memory, half)
    newest = send(bus, half, half + 100)
    until(lambda: position(following, memory) == newest, "the events were never applied")
    assert_as_batch(memory, half + 100)
    status = following.status(USE_CASE, memory)
    assert (status["lag"], status["trouble"], status["unreadable"]) == (0, "", 0)
    assert status["newest_event"] == EVENTS[half + 99].time.isoformat()
    following.follower.retain([])
    assert following.status(USE_CASE, memory) == {}
    following.follower.stop()


class Held(Shared):
    """A bus whose readers wait with what they fetched until they may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched, self.go_on = Event(), Event()
        self.go_on.set()

    def follow(self, topic: Topic[D], after: int) -> MemoryFollowing[D]:
        bus = self

        class Waiting(MemoryFollowing[D]):
            def fetch(
                self, limit: int, wait: float, *, on_unreadable: Unreadable | None = None
            ) -> list[Received[D]]:
                received = super().fetch(limit, wait, on_unreadable=on_unreadable)
                if received:
                    bus.fetched.set()
                bus.go_on.wait(20)
                return received

        return Waiting(self, topic, after)


def test_a_memory_that_joins_while_events_come_misses_none_before_them(lake: Lake, tmp_path: Path) -> None:
    bus = Held()
    send(bus, 0, 100)
    following = StreamFollowing(tmp_path, lake, lambda: bus)
    first, second = (warm(lake, USE_CASE, FEATURES) for _ in range(2))
    following.join(USE_CASE, first)
    bus.go_on.clear()
    bus.fetched.clear()
    last = send(bus, 100, 150)
    assert bus.fetched.wait(20)  # events 100 to 150 are on their way to the first memory
    with ThreadPoolExecutor(1) as pool:
        joining = pool.submit(following.join, USE_CASE, second)
        until(
            lambda: (
                position(following, second) == 0 and following.follower.target_of(second.features) is not None
            ),
            "it never joined",
        )
        bus.go_on.set()
        joining.result(20)
    assert position(following, second) == last
    assert_as_batch(second, 150)
    target = following.follower.target_of(second.features)
    assert target is not None
    assert target.applied == 150
    following.follower.stop()


def test_a_memory_that_takes_the_place_of_another_never_knows_less(lake: Lake, tmp_path: Path) -> None:
    bus = Shared()
    send(bus, 0, 40)
    following = StreamFollowing(tmp_path, lake, lambda: bus)
    first, second = (warm(lake, USE_CASE, FEATURES) for _ in range(2))
    following.join(USE_CASE, first)
    following.join(USE_CASE, second)
    before, after = (following.follower.target_of(memory.features) for memory in (first, second))
    assert before is not None
    assert after is not None
    behind: list[int] = []

    class Looking(EventRows):
        def read(self, stream: str, document: bytes | Raw) -> tuple[str, Row] | None:
            behind.append(before.position - after.position)
            return super().read(stream, document)

    before.rows = Looking(streams(), FEATURES, schemas(lake, USE_CASE, FEATURES))
    last = send(bus, 40, 140)
    until(lambda: before.position == last, "the events were never applied")
    assert len(behind) == 100
    assert max(behind) < 0, "the old one had events that the new one had not"
    following.follower.stop()


class Busy(Lake):
    """A lake in which something else happens after the first read of a table."""

    meanwhile: Callable[[], object] = staticmethod(lambda: None)

    def read(self, table: Table, **limits: Any) -> pl.DataFrame:
        frame = super().read(table, **limits)
        if table.name == f"raw_{STREAM}":
            happens, self.meanwhile = self.meanwhile, lambda: None
            happens()
        return frame


def test_what_is_archived_while_the_archive_is_read_comes_from_the_bus(lake: Lake, tmp_path: Path) -> None:
    bus, busy = Shared(), Busy(tmp_path / "catalog.sqlite", tmp_path / "data")
    send(bus, 0, 40)
    store, lock = RawStore(tmp_path / "raw", lake), tmp_path / "lock"
    with (
        closing(busy),
        closing(Archiver(bus, store, USE_CASE, [STREAM], lock=lock, seconds=0)) as archiver,
    ):
        archiver.poll()
        last = send(bus, 40, 80)
        busy.meanwhile = archiver.poll
        following, memory = StreamFollowing(tmp_path, busy, lambda: bus), warm(lake, USE_CASE, FEATURES)
        following.join(USE_CASE, memory)
    assert position(following, memory) == last
    assert_as_batch(memory, 80)
    target = following.follower.target_of(memory.features)
    assert target is not None
    assert target.applied >= 80
    following.follower.stop()


def test_without_a_broker_memory_is_used_and_trouble_is_told(lake: Lake, tmp_path: Path) -> None:
    bus: list[Bus] = []

    def opened() -> Bus:
        if not bus:
            raise BusError("No broker answers.", hint="Start it.")
        return bus[0]

    following, memory = StreamFollowing(tmp_path, lake, opened), warm(lake, USE_CASE, FEATURES)
    following.join(USE_CASE, memory)
    until(lambda: "No broker answers" in following.status(USE_CASE, memory)["trouble"], "it was not told")
    there = Shared()
    newest = send(there, 0, 60)
    bus.append(there)
    until(lambda: position(following, memory) == newest, "it was never followed")
    assert_as_batch(memory, 60)
    until(lambda: following.status(USE_CASE, memory)["trouble"] == "", "trouble stays")
    following.follower.stop()


def test_a_use_case_without_streams_is_as_it_was(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "streams" / f"{USE_CASE}.json").unlink()

    def opened() -> Bus:
        raise AssertionError("nobody is to be asked")

    following, memory = StreamFollowing(tmp_path, lake, opened), warm(lake, USE_CASE, FEATURES)
    following.join(USE_CASE, memory)
    assert following.status(USE_CASE, memory) == {}


def test_a_killed_broker_leaves_no_gap(lake: Lake, tmp_path: Path) -> None:
    with Broker(tmp_path / "broker") as broker:
        following = StreamFollowing(tmp_path, lake, lambda: open_bus(broker.url))
        memory = warm(lake, USE_CASE, FEATURES)
        with closing(open_bus(broker.url)) as bus:
            following.join(USE_CASE, memory)
            for start in range(0, 200, 50):
                newest = send(bus, start, start + 50)
                os.kill(broker.pid, signal.SIGKILL)
                broker.wait_restarted()
            until(lambda: position(following, memory) == newest, "the events were never applied")
        target = following.follower.target_of(memory.features)
        assert target is not None
        assert target.applied == 200
        assert_as_batch(memory, 200)
        following.follower.stop()
