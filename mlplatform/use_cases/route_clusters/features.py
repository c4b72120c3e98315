"""Route clusters: which routes are alike, by how they were flown in the last four weeks, as each day begins.

A row is one route on one day on which it is served. Times are UTC.
"""

import polars as pl

from mlplatform.features import Agg, FeatureSet, Row, Source, Spine, col
from mlplatform.use_cases.flight_delay.data import RawAirports as RawAirports
from mlplatform.use_cases.flight_delay.data import RawFlights as RawFlights
from mlplatform.use_cases.flight_delay.data import clean_airports as clean_airports
from mlplatform.use_cases.flight_delay.data import clean_flights as clean_flights

NEW_YORK = "America/New_York"
FLIGHT = ("carrier", "flight", "sched_dep")
ROUTE = ("origin", "dest")
WINDOW = "28d"


def clean_routes(flights: pl.DataFrame) -> pl.DataFrame:
    """The routes served on each day, once each, with the moment at which the day begins in New York."""
    day = pl.col("partition_key").str.to_date()
    begins = day.cast(pl.Datetime("us")).dt.replace_time_zone(NEW_YORK).dt.convert_time_zone("UTC")
    return (
        flights.group_by("partition_key", *ROUTE)
        .agg(pl.col("batch_id").first(), distance=pl.col("distance").first())
        .with_columns(begins=begins)
        .sort("partition_key", *ROUTE)
    )


schedule = Source("schedule", table="flights", at="sched_dep", key=FLIGHT)
departures = Source("departures", table="flights", at="dep_time", key=FLIGHT)
arrivals = Source("arrivals", table="flights", at="arr_time", key=FLIGHT)

FEATURES = FeatureSet(
    "route_clusters",
    Spine(
        table="routes",
        key=("origin", "dest", "begins"),
        facts={"origin": "string", "dest": "string", "distance": "int", "begins": "time"},
        as_of=col("begins").minus("0m"),
    ),
    [
        Row("distance_miles", col("distance") * 1),
        Agg(schedule, ROUTE, "count", WINDOW, name="flights_28d"),
        Agg(schedule, ROUTE, "distinct", WINDOW, "carrier", name="carriers_28d"),
        Agg(departures, ROUTE, "mean", WINDOW, "dep_delay", name="dep_delay_28d"),
        Agg(arrivals, ROUTE, "mean", WINDOW, "arr_delay", name="arr_delay_28d"),
        Agg(arrivals, ROUTE, "mean", WINDOW, "late", name="late_28d"),
        Agg(arrivals, ROUTE, "mean", WINDOW, "gain", name="gain_28d"),
    ],
)
