"""The event path on a real broker, Dagster instance and lake: messages in, runs, messages out."""

from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest
from msgspec.structs import replace

from mlplatform.crosscutting.bus.topics import SOURCE_DATA_AVAILABLE
from mlplatform.errors import DeliveryRefused
from mlplatform.offline import project
from mlplatform.offline.declared import Declared
from mlplatform.offline.messages import WHOLE, arrival
from mlplatform.stores.batches import batch_id
from mlplatform.stores.lake import Lake
from mlplatform_tests.crosscutting.brokers import Broker, free_port
from mlplatform_tests.offline.deployed import Platform, running
from mlplatform_tests.small.world import FIRST, edit, make_use_case

DAY, NEXT = "2025-03-05", "2025-03-06"


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> Declared:
    return project.load(make_use_case(tmp_path_factory.mktemp("project")))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path) as running:
        yield running


@pytest.fixture
def platform(declared: Declared, broker: Broker, tmp_path: Path) -> Iterator[Platform]:
    with Platform.at(declared, broker.url, tmp_path) as world:
        yield world


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
        for sensor in ("source_data_available", "raw_data_extracted"):
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


def test_a_message_tells_where_the_delivery_is_and_what_it_must_be(tmp_path: Path, broker: Broker) -> None:
    folder = make_use_case(tmp_path / "project")
    edit(
        folder / "defs.yaml",
        "event_time: placed",
        f"event_time: placed\n      accept: ['{tmp_path.as_uri()}/']",
    )
    delivered = tmp_path / "inbox.csv"
    header, *rows = (folder / "data" / "orders-1.csv").read_text().splitlines(keepends=True)
    delivered.write_text("".join([header, *(row for row in rows if f"e,{DAY}T" in row)][:20]))
    sha = sha256(delivered.read_bytes()).hexdigest()
    with Platform.at(project.load(folder), broker.url, tmp_path / "home") as platform:
        platform.materialise("raw_warehouses", "warehouses")
        platform.send(DAY, uri=delivered.as_uri(), rows=19, sha256=sha)
        platform.send(NEXT, uri=delivered.as_uri(), rows=19, sha256="0" * 64)
        platform.send(DAY, uri="file:///etc/passwd")
        platform.send(DAY, uri=f"{tmp_path.as_uri()}/../secret.csv")
        tick = platform.tick("source_data_available")
        good, bad = tick.requests
        assert good.run_key == batch_id("orders", DAY, sha)
        assert [("/etc/passwd" in error, "accept" in error) for error in tick.errors] == [
            (True, True),
            (False, True),
        ]
        assert platform.perform(good).success
        with pytest.raises(DeliveryRefused, match="0000 was declared"):
            platform.perform(bad)
        assert platform.rows("raw_orders") == platform.rows("orders", DAY) == 19


def test_messages_of_one_content_start_one_run(platform: Platform) -> None:
    for name in ("first", "again"):
        platform.send(DAY, id=name, sha256="ab" * 32)
    assert len(platform.tick("source_data_available").requests) == 1
    platform.send(DAY, id="corrected", sha256="cd" * 32)
    assert len(platform.tick("source_data_available").requests) == 1


def test_the_same_content_again_is_a_no_op_and_a_correction_a_new_batch(platform: Platform) -> None:
    (file,) = platform.declared.folder.glob("data/orders-1.csv")
    original = file.read_text()
    platform.over([DAY, NEXT], "raw_orders")
    first = platform.manifests()
    platform.over([DAY, NEXT], "raw_orders")
    assert platform.manifests() == first
    lines = original.splitlines(keepends=True)
    dropped = next(line for line in lines if f"e,{DAY}T" in line)  # express, placed
    try:
        file.write_text(original.replace(dropped, "", 1))
        platform.over([DAY, NEXT], "raw_orders")
    finally:
        file.write_text(original)
    assert [(m.partition, m.current) for m in platform.manifests()] == [
        (DAY, False),
        (NEXT, True),
        (DAY, True),
    ]
    assert platform.rows("raw_orders", DAY) == first[0].rows - 1
