"""The year's flights as the events they were: what the platform could know, in the order it could know it.

    schedule      18:00 New York time the day before the flight
    weather       60 minutes after the hour it is of (a station reports at about H:51)
    departure     at the actual departure
    cancellation  180 minutes after the scheduled departure, of a flight that never left
    arrival       at the actual arrival; a diverted flight has none

It must not read or write anything: frames in, events out. Documents have no common schema, and leave out what
is not known.
"""

from collections.abc import Iterator
from hashlib import sha256
from heapq import merge
from typing import Any

import polars as pl

NEW_YORK = "America/New_York"

WHO = ("carrier", "flight", "sched_dep", "origin", "dest", "tailnum")
"""Facts that every event of a flight repeats, since none can look another one up."""

Event = dict[str, Any]


def feed(tables: dict[str, pl.DataFrame]) -> Iterator[Event]:
    """Events of all rows of the cleaned tables `flights` and `weather`, in order of time.

    An event has `id` (the same for the same event), `time` (UTC), `key` and `data` with its `type`.
    """
    flights, weather = tables["flights"], tables["weather"]
    gone = pl.col("dep_time").is_not_null()
    kinds = [
        _events("schedule", flights, _day_before(), (*WHO, "distance", "sched_arr")),
        _events("weather", weather, pl.col("time_hour") + pl.duration(minutes=60), _facts(weather)),
        _events(
            "departure",
            flights.filter(gone),
            pl.col("dep_time"),
            (*WHO, "dep_time", "dep_delay", "lateness", "left_late"),
        ),
        _events("cancellation", flights.filter(~gone), pl.col("sched_dep") + pl.duration(minutes=180), WHO),
        _events(
            "arrival",
            flights.filter(gone & pl.col("arr_time").is_not_null()),
            pl.col("arr_time"),
            (*WHO, "arr_time", "arr_delay", "gain", "late", "elapsed", "air_excess"),
        ),
    ]
    # Of the same instant the order is that of the list: merge is stable.
    return merge(*kinds, key=lambda event: event["time"])


def _events(kind: str, rows: pl.DataFrame, at: pl.Expr, facts: tuple[str, ...]) -> Iterator[Event]:
    key = _flight_key() if kind != "weather" else pl.col("origin")
    timed = rows.select(*facts, _at=at, _key=key).sort("_at", "_key")
    for row in timed.iter_rows(named=True):
        time, name = row.pop("_at"), row.pop("_key")
        known = {fact: value for fact, value in row.items() if value is not None}
        id = sha256(f"{kind}|{name}|{time.isoformat()}".encode()).hexdigest()[:32]
        yield {"id": id, "time": time, "key": name, "data": {"type": kind, "key": name, **known}}


def _facts(weather: pl.DataFrame) -> tuple[str, ...]:
    return tuple(name for name in weather.columns if name not in ("partition_key", "batch_id"))


def _flight_key() -> pl.Expr:
    scheduled = pl.col("sched_dep").dt.strftime("%Y-%m-%dT%H:%MZ")
    return pl.concat_str("carrier", "flight", scheduled, separator="-")


def _day_before() -> pl.Expr:
    local = pl.col("sched_dep").dt.convert_time_zone(NEW_YORK).dt.replace_time_zone(None)
    evening = local.dt.truncate("1d") - pl.duration(hours=6)
    return evening.dt.replace_time_zone(NEW_YORK).dt.convert_time_zone("UTC")
