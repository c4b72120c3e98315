"""Events through a bus into a real lake: exactly once through every crash point, in order, untouched."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl
import pytest

from mlplatform.crosscutting.bus import Bus, Envelope
from mlplatform.crosscutting.bus.memory import MemoryBus
from mlplatform.crosscutting.bus.nats_jetstream import NatsBus
from mlplatform.crosscutting.bus.topics import RAW_DATA_EXTRACTED, SOURCE_EVENT, RawDataExtracted, SourceEvent
from mlplatform.errors import BusError, ServiceError
from mlplatform.online.archiver import Archiver
from mlplatform.online.events import Incoming, messages
from mlplatform.stores.lake import Lake, Table
from mlplatform.stores.raw import RawStore
from mlplatform_tests.crosscutting.brokers import Broker

USE_CASE, STREAM = "u", "events"
START = datetime(2013, 1, 1, 23, 59, 30, tzinfo=UTC)
STEPS = ["before the sync", "before the rename", "after the rename", "before the commit", "after the commit"]


class Crash(BaseException):
    """The process ends here."""


def event(number: int, **changed: object) -> Incoming:
    values: dict[str, object] = {"id": f"id-{number}", "key": f"key-{number % 3}"}
    data = b'{"number" : %d,\n "text": "\\u00e9"}' % number
    values |= {"time": START + timedelta(seconds=number), "data": data} | changed
    return Incoming(**values)  # type: ignore[arg-type]


def publish(bus: Bus, first: int, count: int, stream: str = STREAM, use_case: str = USE_CASE) -> list[int]:
    made = [event(number) for number in range(first, first + count)]
    return bus.publish_many(SOURCE_EVENT, messages(use_case, stream, made))


class Place:
    """A lake and a store in a folder, with archivers that come and go."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lake = Lake(folder / "catalog.sqlite", folder / "data")

    def store(self, step: Callable[[str], None] = lambda name: None) -> RawStore:
        return RawStore(self.folder / "raw", self.lake, step=step)

    def archiver(
        self, bus: Bus, step: Callable[[str], None] = lambda name: None, most: int = 10, *streams: str
    ) -> Archiver:
        lock = self.folder / "lock"
        return Archiver(
            bus, self.store(step), USE_CASE, streams or (STREAM,), lock=lock, most=most, seconds=0
        )

    def archive(self, bus: Bus, *streams: str) -> int:
        """Archive all there is, with a new archiver."""
        with closing(self.archiver(bus, lambda name: None, 10, *streams)) as archiver:
            return archive(archiver)

    def rows(self, stream: str = STREAM) -> pl.DataFrame:
        table = Table(USE_CASE, f"raw_{stream}")
        return self.lake.read(table) if self.lake.exists(table) else pl.DataFrame()

    def check(self, count: int, stream: str = STREAM) -> None:
        """Events 0 to `count` - 1 are there once each, in order, and the manifests agree with the rows."""
        rows = self.rows(stream)
        assert rows["event_id"].to_list() == [f"id-{number}" for number in range(count)]
        assert rows["position"].is_sorted()
        manifests = self.store().manifests(USE_CASE, stream)
        assert sum(manifest.rows for manifest in manifests) == count
        assert [manifest for manifest in manifests if not manifest.current] == []
        for manifest in manifests:
            kept = self.store().path(manifest.objects[0]).read_bytes().splitlines()
            named = rows.filter(partition_key=manifest.partition)
            assert [json.loads(line)["id"] for line in kept] == named["event_id"].to_list()


def archive(archiver: Archiver) -> int:
    total = 0
    while found := archiver.poll():
        total += found
    return total


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.lake.close()


def test_a_batch_in_full(place: Place) -> None:
    bus = MemoryBus()
    bus.publish(SOURCE_EVENT, messages("other", STREAM, [event(9)])[0])
    publish(bus, 0, 2)
    assert place.archive(bus) == 2
    (manifest,) = place.store().manifests(USE_CASE)
    assert manifest.partition == f"{2:020d}-{3:020d}"
    assert (manifest.data_set, manifest.source, manifest.rows) == (STREAM, "bus://source-event", 2)
    assert manifest.event_from == START
    assert manifest.event_until == START + timedelta(seconds=1)
    document = '{"number" : 0,\n "text": "\\u00e9"}'
    assert place.rows().row(0, named=True) == {
        "partition_key": manifest.partition,
        "batch_id": manifest.batch_id,
        "position": 2,
        "event_id": "id-0",
        "time": START,
        "key": "key-0",
        "day": "2013-01-01",
        "document": document,
    }
    first, second = place.store().path(manifest.sha256).read_bytes().splitlines()
    assert json.loads(first) == {
        "position": 2,
        "id": "id-0",
        "time": "2013-01-01T23:59:30Z",
        "key": "key-0",
        "document": document,
    }
    assert json.loads(second)["position"] == 3


def test_days_are_those_of_the_event_times_in_utc(place: Place) -> None:
    bus = MemoryBus()
    publish(bus, 29, 2)
    place.archive(bus)
    assert place.rows()["day"].to_list() == ["2013-01-01", "2013-01-02"]


def test_an_id_sent_again_is_archived_once(place: Place) -> None:
    bus = MemoryBus()
    publish(bus, 0, 5)
    publish(bus, 3, 4)
    place.archive(bus)
    publish(bus, 0, 8)
    place.archive(bus)
    place.check(8)


def test_batches_are_bounded_and_go_on_where_the_last_one_ended(place: Place) -> None:
    bus = MemoryBus()
    with closing(place.archiver(bus, most=4)) as archiver:
        publish(bus, 0, 10)
        assert [archiver.poll() for _ in range(4)] == [4, 4, 2, 0]
        publish(bus, 10, 1)
        assert archiver.poll() == 1
        assert archiver.archived == archiver.seen == {STREAM: 11}
    place.check(11)
    assert place.archive(bus) == 0


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("at", [1, 2])
def test_a_crash_at_any_step_loses_and_doubles_nothing(place: Place, step: str, at: int) -> None:
    bus, met = MemoryBus(), 0

    def crash(name: str) -> None:
        nonlocal met
        met += name == step
        if met == at and name == step:
            raise Crash

    publish(bus, 0, 25)
    with closing(place.archiver(bus, crash)) as archiver, pytest.raises(Crash):
        archive(archiver)
    publish(bus, 25, 2)
    place.archive(bus)
    place.check(27)


def test_a_crash_between_the_lake_s_files_and_its_commit(place: Place, tmp_path: Path) -> None:
    bus, synced = MemoryBus(), 0

    def crash(path: Path) -> None:
        nonlocal synced
        synced += 1
        if synced == 2:
            raise Crash

    publish(bus, 0, 5)
    with closing(Lake(tmp_path / "catalog.sqlite", tmp_path / "data", sync=crash)) as lake:
        store = RawStore(tmp_path / "raw", lake)
        with (
            closing(Archiver(bus, store, USE_CASE, [STREAM], lock=tmp_path / "lock", seconds=0)) as archiver,
            pytest.raises(Crash),
        ):
            archiver.poll()
    publish(bus, 5, 1)
    place.archive(bus)
    place.check(6)


def test_the_same_archiver_goes_on_after_a_store_that_failed(place: Place) -> None:
    bus, fails = MemoryBus(), iter([True, False, True])

    def crash(name: str) -> None:
        if name == "after the commit" and next(fails, False):
            raise Crash

    publish(bus, 0, 25)
    with closing(place.archiver(bus, crash)) as archiver:
        for _ in range(2):
            with pytest.raises(Crash):
                archive(archiver)
        archive(archiver)
    place.check(25)


def test_the_same_positions_give_the_same_bytes_and_change_nothing(place: Place, tmp_path: Path) -> None:
    bus = MemoryBus()
    publish(bus, 0, 7)
    other = Place(tmp_path / "other")
    assert place.archive(bus) == other.archive(bus) == 7
    manifests = [each.store().manifests(USE_CASE)[0] for each in (place, other)]
    assert manifests[0].batch_id == manifests[1].batch_id
    other.lake.close()


def test_several_streams_and_one_declared_later(place: Place) -> None:
    bus = MemoryBus()
    publish(bus, 0, 3, "late")
    publish(bus, 0, 3)
    assert place.archive(bus) == 3
    publish(bus, 3, 2, "late")
    publish(bus, 3, 2)
    assert place.archive(bus, STREAM, "late") == 7
    place.check(5)
    place.check(5, "late")
    assert place.archive(bus, STREAM, "late") == 0


def test_only_one_archiver_of_a_use_case(place: Place) -> None:
    bus = MemoryBus()
    with closing(place.archiver(bus)), pytest.raises(ServiceError, match="runs already"):
        place.archiver(bus)
    place.archiver(bus).close()


def test_a_broker_that_counts_anew_begins_a_new_epoch(place: Place) -> None:
    publish(old := MemoryBus(), 0, 6)
    place.archive(old)
    bus = MemoryBus()
    assert place.archive(bus) == 0  # an empty broker: nothing can be told yet
    publish(bus, 6, 3)
    assert place.archive(bus) == 3
    publish(bus, 9, 12)
    assert place.archive(bus) == 12
    rows = place.rows()
    assert rows["event_id"].to_list() == [f"id-{number}" for number in range(21)]
    assert rows["partition_key"].str.starts_with("e0001-").sum() == 15
    assert rows["position"].to_list() == [*range(1, 7), *range(1, 16)]


def test_a_broker_emptied_under_a_running_archiver_and_filled_beyond(place: Place) -> None:
    class Emptied:
        def __init__(self) -> None:
            self.now = MemoryBus()

        def __getattr__(self, name: str) -> object:
            return getattr(self.now, name)

    bus = Emptied()
    with closing(place.archiver(bus)) as archiver:  # type: ignore[arg-type]
        publish(bus.now, 0, 6)
        archive(archiver)
        bus.now = MemoryBus()
        publish(bus.now, 6, 9)
        assert archive(archiver) == 9
    assert place.rows()["event_id"].to_list() == [f"id-{number}" for number in range(15)]


def test_messages_that_have_expired_are_no_new_numbering(place: Place) -> None:
    bus = MemoryBus()
    publish(bus, 0, 6)
    place.archive(bus)
    log = bus._logs[SOURCE_EVENT.name]
    del log.sequences[:], log.payloads[:]
    assert place.archive(bus) == 0
    bus.publish(RAW_DATA_EXTRACTED, raw_data_extracted())
    publish(bus, 6, 3)
    assert place.archive(bus) == 3
    place.check(9)


def raw_data_extracted() -> Envelope[RawDataExtracted]:
    data = RawDataExtracted(use_case=USE_CASE, data_set="d", partition="p", batch_id="b", rows=1, run_id="r")
    return RAW_DATA_EXTRACTED.envelope(
        id="i", source="s", type=RAW_DATA_EXTRACTED.type, time=START, data=data
    )


def test_a_bus_that_fails_is_told_of_and_waited_for(place: Place) -> None:
    class Failing(MemoryBus):
        fails = True

        def read(self, *args: object, **kwargs: object) -> list[object]:  # type: ignore[override]
            if self.fails:
                raise BusError("No broker answers.")
            return super().read(*args, **kwargs)  # type: ignore[arg-type,return-value]

    bus, stop = Failing(), threading.Event()
    publish(bus, 0, 5)
    with closing(place.archiver(bus)) as archiver:
        thread = threading.Thread(target=archiver.run, args=(stop,))
        thread.start()
        wait_for(lambda: archiver.bus_away)
        assert archiver.trouble == "No broker answers."
        bus.fails = False
        wait_for(lambda: archiver.archived == {STREAM: 5})
        wait_for(lambda: not archiver.trouble and not archiver.bus_away)
        stop.set()
        thread.join()
    place.check(5)


def wait_for(condition: Callable[[], bool]) -> None:
    waited = threading.Event()
    for _ in range(200):
        if condition():
            return
        waited.wait(0.05)
    raise AssertionError


def test_through_a_real_broker_with_unreadable_messages_between(place: Place, tmp_path: Path) -> None:
    with Broker(tmp_path / "broker") as broker, closing(NatsBus(broker.url)) as bus:
        publish(bus, 0, 30)
        broker.publish_bytes(f"mlplatform.{SOURCE_EVENT.name}.{USE_CASE}", b"{")
        foreign = messages(USE_CASE, STREAM, [event(99, data=b'{"a": "?"}')])[0]
        payload = msgspec.json.encode(foreign).replace(b"?", b"\xff")
        broker.publish_bytes(f"mlplatform.{SOURCE_EVENT.name}.{USE_CASE}", payload)
        publish(bus, 20, 20)
        with closing(place.archiver(bus)) as archiver:
            assert archive(archiver) == 40
            assert archiver.poll() == 0
            assert archiver.unreadable == 2
        assert place.archive(bus) == 0
    place.check(40)


def test_a_message_of_a_foreign_program_keeps_its_own_id(place: Place) -> None:
    bus = MemoryBus()
    data = SourceEvent(use_case=USE_CASE, stream=STREAM, document=msgspec.Raw(b"[1]"))
    bus.publish(
        SOURCE_EVENT,
        SOURCE_EVENT.envelope(id="own", source="s", type=SOURCE_EVENT.type, time=START, data=data),
    )
    place.archive(bus)
    assert place.rows().select("event_id", "key", "document").rows() == [("own", None, "[1]")]
