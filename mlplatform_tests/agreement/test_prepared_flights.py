"""Real flights through the Online Data Preparation Service: each cell is that of the batch executor."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import polars as pl
from polars.testing import assert_frame_equal

from mlplatform.cli.prepare import streams_of
from mlplatform.crosscutting.bus.memory import MemoryBus
from mlplatform.crosscutting.bus.topics import SOURCE_EVENT
from mlplatform.offline import project
from mlplatform.online.events import Incoming, messages
from mlplatform.online.preparation import Preparation
from mlplatform.stages.preparation.batch import compute
from mlplatform.stores.lake import Lake, Table
from mlplatform.use_cases.flight_delay.feed import feed
from mlplatform_tests.agreement.test_online_equals_offline import flights as flights

CUTOVER = datetime(2013, 1, 2, 22, tzinfo=UTC)
"""An hour before the schedule of 3 January is told."""
NAME = "flight_delay"


def known(tables: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The tables of 1 and 2 January, as far as they were known at the cutover."""
    told = {"dep_time": ["dep_delay"], "arr_time": ["arr_delay", "gain", "late"]}
    rows = tables["flights"].filter(pl.col("partition_key") <= "2013-01-02")
    for clock, others in told.items():
        before = pl.col(clock) < CUTOVER
        rows = rows.with_columns(pl.when(before).then(name).alias(name) for name in [*others, clock])
    weather = tables["weather"].filter(pl.col("time_hour") + pl.duration(minutes=60) < CUTOVER)
    return {
        "flights": rows,
        "weather": weather,
        "planes": tables["planes"].drop("partition_key", strict=False),
    }


def test_two_days_of_flights(flights: dict[str, pl.DataFrame], tmp_path: Path) -> None:
    declared, bus = project.load(project.BUILT_IN / NAME), MemoryBus()
    events = [
        Incoming(event["id"], event["time"], event["key"], msgspec.json.encode(event["data"]))
        for event in feed(flights)
        if event["time"] >= CUTOVER
    ]
    bus.publish_many(SOURCE_EVENT, messages(NAME, "flight_events", events))
    with closing(Lake(tmp_path / "catalog.sqlite", tmp_path / "data")) as lake:
        for name, frame in known(flights).items():
            days = frame["partition_key"].unique().to_list() if "partition_key" in frame.columns else None
            lake.write(Table(NAME, name), frame, days)
        with closing(
            Preparation(bus, lake, streams_of(declared), locks=tmp_path, seconds=0.0)
        ) as preparation:
            while preparation.poll():
                pass
            preparation.poll()
            assert (preparation.unreadable, preparation.refused, preparation.pending) == (0, 0, 0)
        rows = lake.read(Table(NAME, "features_online")).sort(declared.feature_set.spine.key)
    spine = flights["flights"].filter(pl.col("partition_key") > "2013-01-02")
    expected = compute(declared.feature_set, spine, flights).with_columns(day=spine["partition_key"])
    expected = expected.sort(declared.feature_set.spine.key)
    assert expected.height == 914 + 915
    assert_frame_equal(rows.select(expected.columns), expected, check_exact=True)
