"""Flight alternatives: the flights to one destination in three hours of a day, ranked by expected lateness.

All flights of a list are asked about at one moment, 60 minutes before its three hours begin: what is known of
the later ones is as old. Times are UTC; the three hours are those of New York's clocks.
"""

import polars as pl

from mlplatform.features import (
    Agg,
    Category,
    ExponentialMean,
    FeatureSet,
    Last,
    Open,
    Row,
    Source,
    Spine,
    col,
)
from mlplatform.use_cases.flight_delay.data import RawAirports as RawAirports
from mlplatform.use_cases.flight_delay.data import RawFlights as RawFlights
from mlplatform.use_cases.flight_delay.data import clean_airports as clean_airports
from mlplatform.use_cases.flight_delay.data import clean_flights

NEW_YORK = "America/New_York"
WORST_MINUTES, MINUTES_A_GRADE, BEST_GRADE = 120, 15, 10
"""Relevance: 0 from two hours late on, one more for every 15 minutes less, 10 from half an hour early on."""

FLIGHT = ("carrier", "flight", "sched_dep")
ROUTE = ("carrier", "origin", "dest")
NUMBER = ("carrier", "flight")
HERE = ("carrier", "origin")


def clean_alternatives(flights: pl.DataFrame, airports: pl.DataFrame) -> pl.DataFrame:
    """Flights as in `flight_delay`, with the beginning of their three hours and their relevance."""
    cleaned = clean_flights(flights, airports)
    local = pl.col("sched_dep").dt.convert_time_zone(NEW_YORK)
    into = local.dt.hour() % 3 * 60 + local.dt.minute()
    grade = (WORST_MINUTES - pl.col("arr_delay")) // MINUTES_A_GRADE
    return cleaned.with_columns(
        slot=pl.col("sched_dep") - pl.duration(minutes=into),
        relevance=grade.clip(0, BEST_GRADE),
    )


schedule = Source("schedule", table="flights", at="sched_dep", key=FLIGHT)
departures = Source("departures", table="flights", at="dep_time", key=FLIGHT)
arrivals = Source("arrivals", table="flights", at="arr_time", key=FLIGHT)

sched_dep, sched_arr = col("sched_dep"), col("sched_arr")

FEATURES = FeatureSet(
    "flight_alternatives",
    Spine(
        table="flights",
        key=("dest", "slot", "carrier", "flight", "sched_dep"),
        facts={
            "dest": "string",
            "slot": "time",
            "carrier": "string",
            "flight": "int",
            "sched_dep": "time",
            "sched_arr": "time",
            "origin": "string",
            "tailnum": "string",
        },
        as_of=col("slot").minus("60m"),
    ),
    [
        Category("carrier"),
        Category("origin"),
        Category("dest"),
        Row("hour", sched_dep.hour(NEW_YORK)),
        Row("weekday", sched_dep.weekday(NEW_YORK)),
        Row("minutes_ahead", sched_dep.minutes_since(col("as_of"))),
        Row("elapsed_minutes", sched_arr.minutes_since(sched_dep)),
        *(Agg(departures, by, "mean", "2h", "dep_delay") for by in ("origin", "carrier", HERE)),
        *(Agg(departures, by, "mean", "12h", "dep_delay") for by in ("origin", "carrier", HERE)),
        *(Agg(arrivals, by, "mean", "6h", "arr_delay") for by in ("origin", "carrier", HERE)),
        *(
            Open(schedule, departures, by, "mean_state", "3h", value="dep_delay")
            for by in ("origin", "carrier", HERE)
        ),
        *(Open(schedule, departures, by, "count", "5h", "15m") for by in ("origin", HERE)),
        *(Agg(arrivals, by, "mean", "28d", "late") for by in (NUMBER, ROUTE, HERE)),
        *(Agg(arrivals, by, "mean", "28d", "arr_delay") for by in (NUMBER, ROUTE, HERE)),
        *(Agg(arrivals, by, "mean", "28d", "gain") for by in (NUMBER, ROUTE)),
        Agg(arrivals, ROUTE, "mean", "28d", "elapsed", name="_elapsed"),
        Row("padding", col("elapsed_minutes") - col("_elapsed")),
        *(ExponentialMean(arrivals, by, "arr_delay", "28d") for by in (NUMBER, ROUTE)),
        Last(departures, "tailnum", "dep_delay", "18h"),
        Last(schedule, "tailnum", "sched_arr", "18h", name="_leg_arr"),
        Row("tail_slack", sched_dep.minutes_since(col("_leg_arr"))),
    ],
)
