"""The event path on a real broker, Dagster instance and lake: messages in, runs, messages out."""

import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from dagster import (
    DagsterInstance,
    Definitions,
    ExecuteInProcessResult,
    RunRequest,
    build_sensor_context,
)
from msgspec.structs import replace

from mlplatform.crosscutting.bus import Bus, open_bus
from mlplatform.crosscutting.bus.embedded import broker_process
from mlplatform.crosscutting.bus.topics import RAW_DATA_EXTRACTED, SOURCE_DATA_AVAILABLE, RawDataExtracted
from mlplatform.crosscutting.processes import Supervisor
from mlplatform.crosscutting.settings import Settings
from mlplatform.offline import project
from mlplatform.offline.assets._shared import key
from mlplatform.offline.declared import Declared
from mlplatform.offline.messages import WHOLE, arrival
from mlplatform.offline.use_case import definitions
from mlplatform.stores.lake import Lake
from mlplatform_tests.crosscutting.brokers import Broker, free_port
from mlplatform_tests.small.world import FIRST, make_use_case

DAY, NEXT = "2025-03-05", "2025-03-06"


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> Declared:
    return project.load(make_use_case(tmp_path_factory.mktemp("project")))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path) as running:
        yield running


@pytest.fixture
def platform(declared: Declared, broker: Broker, tmp_path: Path) -> Iterator["Platform"]:
    with Platform.at(declared, broker.url, tmp_path) as world:
        yield world


class Heard(logging.Handler):
    """Collects what a sensor logs."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR:
            self.errors.append(record.getMessage())


@dataclass
class Tick:
    """What one evaluation of a sensor gave."""

    requests: list[RunRequest]
    skipped: str
    cursor: str
    errors: list[str]

    @property
    def keys(self) -> list[str]:
        return [request.run_key or "" for request in self.requests]


class Platform:
    """One use case with its home, its Dagster instance and a broker's address."""

    def __init__(self, declared: Declared, settings: Settings, instance: DagsterInstance) -> None:
        self.declared, self.settings, self.instance = declared, settings, instance
        self.defs: Definitions = definitions(declared, settings)
        self.cursors = {"source_data_available": "", "raw_data_extracted": ""}

    @classmethod
    def at(cls, declared: Declared, broker_url: str, home: Path) -> "Platform":
        settings = Settings.load({"MLPLATFORM_HOME": str(home), "MLPLATFORM_BROKER_URL": broker_url})
        settings.dagster_home.mkdir(parents=True)
        return cls(declared, settings, DagsterInstance.local_temp(str(settings.dagster_home)))

    def __enter__(self) -> "Platform":
        return self

    def __exit__(self, *error: object) -> None:
        self.instance.dispose()

    def bus(self) -> closing[Bus]:
        return closing(open_bus(self.settings.broker_url))

    def announce(self, *days: str, data_set: str = "orders", name: str = "delivery") -> list[str]:
        """Publish that days can be fetched; returns the messages' ids."""
        ids = [f"{name}-{day}" for day in days]
        with self.bus() as bus:
            for day, id in zip(days, ids, strict=True):
                bus.publish(SOURCE_DATA_AVAILABLE, arrival(self.declared, data_set, day, id))
        return ids

    def tick(self, sensor: str) -> Tick:
        """Evaluate a sensor as the daemon does, its cursor kept from one time to the next."""
        made = self.defs.resolve_sensor_def(f"{self.declared.name}_{sensor}")
        cursor, heard = self.cursors[sensor] or None, Heard()
        with build_sensor_context(self.instance, cursor=cursor, definitions=self.defs) as context:
            context.log.addHandler(heard)
            found = made.evaluate_tick(context)
        self.cursors[sensor] = found.cursor or ""
        return Tick(
            list(found.run_requests or []), found.skip_message or "", self.cursors[sensor], heard.errors
        )

    def perform(self, request: RunRequest) -> ExecuteInProcessResult:
        """Do what a run request asks for."""
        return self.materialise(
            *[asset.path[-1] for asset in request.asset_selection or []],
            partition_key=request.partition_key,
            tags=dict(request.tags),
        )

    def materialise(
        self, *assets: str, partition_key: str | None = None, tags: dict[str, str] | None = None
    ) -> ExecuteInProcessResult:
        job = self.defs.resolve_implicit_global_asset_job_def()
        return job.execute_in_process(
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            instance=self.instance,
            asset_selection=[key(self.declared, name) for name in assets],
            partition_key=partition_key,
            tags=tags,
        )

    def over(self, days: list[str], *assets: str) -> ExecuteInProcessResult:
        """Materialise a range of days in one run."""
        first, last = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
        return self.materialise(*assets, tags={first: days[0], last: days[-1]})

    def rows(self, table: str, *days: str) -> int:
        with closing(Lake.from_settings(self.settings)) as lake:
            return lake.read(self.declared.table(table), partitions=list(days) or None).height

    def extracted(self) -> list[RawDataExtracted]:
        with self.bus() as bus:
            return [message.envelope.data for message in bus.read(RAW_DATA_EXTRACTED, 0, 10_000)]


def test_an_announced_day_is_materialised_and_its_batch_is_published(platform: Platform) -> None:
    platform.announce(WHOLE, data_set="warehouses")
    (id,) = platform.announce(DAY)
    tick = platform.tick("source_data_available")
    assert tick.keys == [f"delivery-{WHOLE}", id]
    for request in tick.requests:
        assert platform.perform(request).success
    assert platform.rows("raw_orders", DAY) == platform.rows("raw_orders") > 0
    assert platform.rows("orders", DAY) == platform.rows("raw_orders")

    platform.tick("raw_data_extracted")
    orders, warehouses = platform.extracted()
    assert (orders.data_set, orders.partition, orders.rows) == ("orders", DAY, platform.rows("raw_orders"))
    assert (warehouses.data_set, warehouses.partition, warehouses.rows) == ("warehouses", WHOLE, 3)
    with closing(Lake.from_settings(platform.settings)) as lake:
        stored = lake.read(platform.declared.table("raw_orders"), partitions=[DAY])
    assert [orders.batch_id] == stored["batch_id"].unique().to_list()


def test_a_message_is_requested_once_and_the_cursor_goes_on(platform: Platform) -> None:
    (first,) = platform.announce(DAY)
    assert platform.tick("source_data_available").keys == [first]
    again = platform.tick("source_data_available")
    assert (again.keys, again.skipped) == ([], "0 new messages, none that starts a run.")
    (second,) = platform.announce(NEXT)
    assert platform.tick("source_data_available").keys == [second]


def test_what_the_use_case_does_not_take_is_refused_with_the_reason(platform: Platform) -> None:
    platform.announce("2031-01-01", "today", name="day")
    platform.announce(DAY, data_set="nothing", name="set")
    platform.announce(DAY, data_set="warehouses", name="whole")
    (good,) = platform.announce(DAY)
    tick = platform.tick("source_data_available")
    assert tick.keys == [good]
    for error, got in zip(tick.errors, ("2031-01-01", "today", "nothing", DAY), strict=True):
        assert repr(got) in error
        assert "allowed: " in error


def test_messages_of_another_use_case_are_none_of_ours(platform: Platform) -> None:
    ours = arrival(platform.declared, "orders", DAY, "theirs")
    theirs = replace(ours, data=replace(ours.data, use_case="another"))
    with platform.bus() as bus:
        bus.publish(SOURCE_DATA_AVAILABLE, theirs)
    tick = platform.tick("source_data_available")
    assert (tick.keys, tick.errors) == ([], [])


def test_garbage_in_the_topic_is_logged_once_and_stops_nothing(platform: Platform, broker: Broker) -> None:
    subject = f"mlplatform.{SOURCE_DATA_AVAILABLE.name}.{platform.declared.name}"
    (before,) = platform.announce(DAY)
    broker.publish_bytes(subject, b"\xff not json")
    (behind,) = platform.announce(NEXT)
    broker.publish_bytes(subject, b'{"type": "order.placed"}')
    tick = platform.tick("source_data_available")
    assert tick.keys == [before, behind]
    assert len(tick.errors) == 2
    assert "malformed" in tick.errors[0]
    assert platform.tick("source_data_available").errors == []


def test_an_emptied_broker_does_not_make_the_sensor_deaf(declared: Declared, tmp_path: Path) -> None:
    url = f"nats://127.0.0.1:{free_port()}"
    with Platform.at(declared, url, tmp_path / "home") as platform:
        with running(url, tmp_path / "one"):
            platform.announce(DAY, NEXT)
            platform.tick("source_data_available")
        with running(url, tmp_path / "two"):
            (id,) = platform.announce(DAY, name="later")
            assert platform.tick("source_data_available").keys == [id]


def test_while_the_broker_is_away_both_sensors_say_so_and_lose_nothing(
    declared: Declared, tmp_path: Path
) -> None:
    url = f"nats://127.0.0.1:{free_port()}"
    with Platform.at(declared, url, tmp_path / "home") as platform:
        with running(url, tmp_path):
            (before,) = platform.announce(DAY)
            assert platform.tick("source_data_available").keys == [before]
            platform.announce(NEXT)
        platform.over([DAY, NEXT], "raw_orders")
        for sensor in platform.cursors:
            tick = platform.tick(sensor)
            assert "No broker answers" in tick.skipped
            assert "mlplatform up" in tick.skipped
        with running(url, tmp_path):
            assert platform.tick("source_data_available").keys == [f"delivery-{NEXT}"]
            platform.tick("raw_data_extracted")
            assert [message.partition for message in platform.extracted()] == [DAY, NEXT]


def test_a_sensor_that_forgot_its_cursor_publishes_nothing_twice(platform: Platform) -> None:
    platform.over([DAY, NEXT], "raw_orders")
    platform.tick("raw_data_extracted")
    before = platform.extracted()
    assert platform.tick("raw_data_extracted").skipped == "0 messages published."
    platform.cursors["raw_data_extracted"] = ""
    assert platform.tick("raw_data_extracted").skipped == "2 messages published."
    assert platform.extracted() == before


def test_a_day_that_is_extracted_again_is_published_again(platform: Platform) -> None:
    for _ in range(2):
        platform.over([DAY], "raw_orders")
        platform.tick("raw_data_extracted")
    first, second = platform.extracted()
    assert first.batch_id == second.batch_id
    assert first.run_id != second.run_id


def test_forty_days_at_once_drop_none(platform: Platform) -> None:
    days = platform.declared.days()[:40]
    ids = platform.announce(*days)
    tick = platform.tick("source_data_available")
    assert tick.keys == ids
    assert [request.partition_key for request in tick.requests] == days

    platform.over(days, "raw_orders")
    while platform.tick("raw_data_extracted").skipped != "0 messages published.":
        pass
    assert sorted(message.partition for message in platform.extracted()) == days
    assert sum(message.rows for message in platform.extracted()) == platform.rows("raw_orders")


def test_an_empty_day_is_published_with_no_rows(platform: Platform) -> None:
    (file,) = platform.declared.folder.glob("data/orders-1.csv")
    original = file.read_text()
    day = f"{FIRST:%Y-%m-%d}"
    try:
        file.write_text("".join(line for line in original.splitlines(True) if f",{day}T" not in line))
        platform.over([day, "2025-03-02"], "raw_orders")
    finally:
        file.write_text(original)
    platform.tick("raw_data_extracted")
    empty, full = platform.extracted()
    assert (empty.partition, empty.rows) == (day, 0)
    assert empty.batch_id != full.batch_id
    assert full.rows > 0


class running:
    """An embedded broker at this address within the `with` block."""

    def __init__(self, url: str, home: Path) -> None:
        self._supervisor = Supervisor([broker_process(url, home)])

    def __enter__(self) -> None:
        self._supervisor.start()

    def __exit__(self, *error: object) -> None:
        self._supervisor.stop()
