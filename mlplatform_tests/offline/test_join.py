"""The join: a day's features are built once all its data sets are there, and again when one changes."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mlplatform.offline import project
from mlplatform.offline.assets._shared import key
from mlplatform_tests.crosscutting.brokers import Broker
from mlplatform_tests.offline.deployed import Platform, Tick
from mlplatform_tests.small.world import edit, make_use_case

DAY, NEXT = "2025-03-05", "2025-03-06"
PARCELS = """
    parcels:
      source: files
      options: { path: data/parcels-{partition}.csv }
      contract: RawParcels
      clean: clean_parcels
"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture
def platform(tmp_path: Path, broker: Broker) -> Iterator[Platform]:
    """Orders whose features also read parcels, a second daily data set."""
    folder = make_use_case(tmp_path / "project")
    edit(folder / "defs.yaml", "\n  label:", f"{PARCELS.replace('{partition}', '{partition}')}\n  label:")
    edit(
        folder / "defs.yaml",
        "options: { path: data/parcels-{partition}.csv }",
        'options: { path: "data/parcels-{partition}.csv" }',
    )
    code = folder / "features.py"
    edit(code, "def clean_orders", PARCELS_CODE + "def clean_orders")
    edit(
        code,
        "placed = Source",
        'parcels = Source("parcels", table="parcels", at="packed", key=("parcel",))\nplaced = Source',
    )
    edit(
        code,
        '        Category("warehouse"),',
        '        Category("warehouse"),\n        Agg(parcels, (), "count", "1d"),',
    )
    for day in (DAY, NEXT):
        (folder / "data" / f"parcels-{day}.csv").write_text(f"parcel,packed\n1,{day}T08:00:00Z\n")
    with Platform.at(project.load(folder), broker.url, tmp_path / "home") as made:
        made.materialise("raw_warehouses", "warehouses")
        yield made


PARCELS_CODE = '''class RawParcels(dy.Schema):
    """One parcel."""

    parcel = dy.Int64()
    packed = dy.String()


def clean_parcels(parcels: pl.DataFrame) -> pl.DataFrame:
    """Parcels in UTC."""
    return parcels.with_columns(packed=_utc("packed"))


'''


def days(tick: Tick) -> list[str | None]:
    return [request.partition_key for request in tick.requests]


def test_features_wait_for_every_data_set_and_are_built_once(platform: Platform) -> None:
    platform.over([DAY, NEXT], "raw_orders", "orders")
    waiting = platform.tick("features_due")
    assert days(waiting) == []
    assert waiting.skipped == "No day is complete; 2 wait for the rest of their data."
    platform.over([DAY], "raw_parcels", "parcels")
    tick = platform.tick("features_due")
    assert days(tick) == [DAY]
    assert platform.perform(tick.requests[0]).success
    assert platform.rows("features", DAY) == platform.rows("features") > 0
    assert days(platform.tick("features_due")) == []
    platform.over([NEXT], "raw_parcels", "parcels")
    assert days(platform.tick("features_due")) == [NEXT]


def test_a_correction_builds_the_features_of_its_day_again(platform: Platform) -> None:
    platform.over([DAY], "raw_orders", "orders", "raw_parcels", "parcels")
    (first,) = platform.tick("features_due").requests
    platform.over([DAY], "raw_orders", "orders")
    (second,) = platform.tick("features_due").requests
    assert first.partition_key == second.partition_key == DAY
    assert first.run_key != second.run_key


def test_a_run_that_builds_the_features_itself_starts_no_other(platform: Platform) -> None:
    platform.over([DAY, NEXT], "raw_orders", "orders", "raw_parcels", "parcels", "features")
    assert days(platform.tick("features_due")) == []


def test_days_that_came_while_a_run_was_at_work_are_built_in_one(platform: Platform) -> None:
    job = platform.defs.resolve_implicit_global_asset_job_def()
    features = key(platform.declared, "features")
    run = platform.instance.create_run_for_job(job, asset_selection=frozenset([features]))
    platform.over([DAY, NEXT], "raw_orders", "orders", "raw_parcels", "parcels")
    tick = platform.tick("features_due")
    assert (tick.requests, f"Run {run.run_id[:8]} is at work" in tick.skipped) == ([], True)
    platform.instance.report_run_canceled(run)
    (request,) = platform.tick("features_due").requests
    assert request.partition_key is None
    assert list(request.tags.values())[:2] == [DAY, NEXT]
    assert platform.perform(request).success
    assert platform.rows("features", DAY) > 0
    assert platform.rows("features", NEXT) > 0
    assert platform.tick("features_due").requests == []


def test_a_lost_cursor_asks_for_no_other_run(platform: Platform) -> None:
    """The daemon starts no second run of one run key."""
    platform.over([DAY], "raw_orders", "orders", "raw_parcels", "parcels")
    first = platform.tick("features_due")
    platform.cursors["features_due"] = ""
    assert platform.tick("features_due").keys == first.keys


def test_features_are_published_once_with_their_rows(platform: Platform) -> None:
    platform.over([DAY, NEXT], "raw_orders", "orders", "raw_parcels", "parcels", "features")
    before = len(platform.generated())
    assert platform.tick("features_generated").skipped == "2 messages published."
    platform.cursors["features_generated"] = ""
    platform.tick("features_generated")
    told = platform.generated()[before:]
    assert [(message.partition, message.rows) for message in told] == [
        (day, platform.rows("features", day)) for day in (DAY, NEXT)
    ]
    assert {message.feature_set_id for message in told} == {platform.declared.feature_set.id}


def test_a_shared_online_store_is_told_the_day(platform: Platform) -> None:
    settings = replace(platform.settings, online_store="redis://127.0.0.1:1/0")
    shared = Platform(platform.declared, settings, platform.instance)
    assert key(platform.declared, "replicated") not in platform.defs.resolve_all_asset_keys()
    assert key(platform.declared, "replicated") in shared.defs.resolve_all_asset_keys()
    sensor = shared.defs.get_sensor_def(f"{platform.declared.name}_features_due")
    assert key(platform.declared, "replicated") in sensor.asset_selection.resolve(shared.defs.assets or [])
