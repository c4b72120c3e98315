"""The real flights as a source."""

from pathlib import Path

import polars as pl
import pytest

from mlplatform.errors import ConfigurationError
from mlplatform.offline import project
from mlplatform.sources import nycflights13, nycflights13_hourly
from mlplatform.stages.ingestion.batch import take, text_of


def test_two_days_of_flights_keep_their_contract() -> None:
    declared = project.load(project.BUILT_IN / "flight_delay")
    rules = declared.rules("flights")
    deliveries = list(declared.source("flights").deliveries(["2013-12-31", "2013-01-01"]))
    assert [delivery.partition for delivery in deliveries] == ["2013-12-31", "2013-01-01"]
    for delivery, expected in zip(deliveries, (776, 842), strict=True):
        (part,) = delivery.parts
        assert isinstance(part.content, bytes)
        taken = take(text_of(part.content, part.format, rules), rules)
        assert (taken.good.height, taken.rejected.height) == (expected, 0)


@pytest.mark.parametrize("data_set", ["weather", "planes", "airports"])
def test_the_other_tables_keep_their_contract(data_set: str) -> None:
    declared = project.load(project.BUILT_IN / "flight_delay")
    rules = declared.rules(data_set)
    (delivery,) = declared.source(data_set).deliveries(None)
    (part,) = delivery.parts
    assert isinstance(part.content, bytes)
    taken = take(text_of(part.content, part.format, rules), rules)
    assert taken.good.height > 1000
    assert taken.rejected.height == 0


def test_an_unknown_table() -> None:
    with pytest.raises(ConfigurationError, match=r"got table 'trains' .*; allowed: flights, weather"):
        nycflights13.open(Path(), table="trains")


def test_a_table_that_has_no_days() -> None:
    for table in ("planes", "airports", "airlines"):
        with pytest.raises(ConfigurationError, match="asked for days; allowed: flights, weather"):
            list(nycflights13.open(Path(), table=table).deliveries(["2013-01-01"]))


def test_departures_are_counted_by_the_hour_they_left_in() -> None:
    """Of 328,521 departures three left in an hour after the last of the year."""
    ((delivery),) = nycflights13_hourly.open(Path()).deliveries(None)
    (part,) = delivery.parts
    assert isinstance(part.content, bytes)
    rows = pl.read_csv(part.content)
    assert rows.height == 3 * 365 * 24
    assert rows["departures"].sum() == 328_518
    late = rows.filter(hour="2013-12-31T23:00:00Z", origin="EWR")
    assert late.height == 1


def test_an_airport_elsewhere() -> None:
    with pytest.raises(ConfigurationError, match=r"got origins \['SFO'\] .*; allowed: EWR, JFK, LGA"):
        nycflights13_hourly.open(Path(), origins=["SFO"])
