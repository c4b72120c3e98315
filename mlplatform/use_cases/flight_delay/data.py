"""Flight delays: what a row of each data set means, and how it is cleaned. Times are UTC."""

import dataframely as dy
import polars as pl

LATE_MINUTES = 15
CLIMB_MINUTES, CRUISE_MPH = 18, 510
"""In calm air: 18 minutes for climb and approach, then 510 mph (January-October: median 5 minutes above)."""


class RawFlights(dy.Schema):
    """One scheduled flight as the Bureau of Transportation Statistics reports it; HHMM times are local."""

    year = dy.Int64(min=2013, max=2013)
    month = dy.Int64(min=1, max=12)
    day = dy.Int64(min=1, max=31)
    dep_time = dy.Int64(nullable=True, min=1, max=2400)
    sched_dep_time = dy.Int64(min=0, max=2359)
    dep_delay = dy.Int64(nullable=True, min=-120, max=2880)
    arr_time = dy.Int64(nullable=True, min=1, max=2400)
    sched_arr_time = dy.Int64(min=0, max=2400)
    arr_delay = dy.Int64(nullable=True, min=-240, max=2880)
    carrier = dy.String(primary_key=True, regex="^[A-Z0-9]{2}$")
    flight = dy.Int64(primary_key=True, min=1)
    tailnum = dy.String(nullable=True)
    origin = dy.String(regex="^(EWR|JFK|LGA)$")
    dest = dy.String(regex="^[A-Z]{3}$")
    air_time = dy.Int64(nullable=True, min=1)
    distance = dy.Int64(min=1)
    hour = dy.Int64(min=0, max=23)
    minute = dy.Int64(min=0, max=59)
    time_hour = dy.String(primary_key=True, regex=r"^\d{4}-\d\d-\d\dT\d\d:00:00Z$")


class RawWeather(dy.Schema):
    """One hour of weather at one airport, as NOAA's station reports it; observed at about H:51."""

    origin = dy.String(primary_key=True, regex="^(EWR|JFK|LGA)$")
    year = dy.Int64(min=2013, max=2013)
    month = dy.Int64(min=1, max=12)
    day = dy.Int64(min=1, max=31)
    hour = dy.Int64(min=0, max=23)
    temp = dy.Float64(nullable=True)
    dewp = dy.Float64(nullable=True)
    humid = dy.Float64(nullable=True, min=0, max=100)
    wind_dir = dy.Int64(nullable=True, min=0, max=360)
    wind_speed = dy.Float64(nullable=True, min=0)
    wind_gust = dy.Float64(nullable=True, min=0)
    precip = dy.Float64(nullable=True, min=0)
    pressure = dy.Float64(nullable=True, min=800, max=1100)
    visib = dy.Float64(nullable=True, min=0)
    time_hour = dy.String(primary_key=True, regex=r"^\d{4}-\d\d-\d\dT\d\d:00:00Z$")


class RawPlanes(dy.Schema):
    """One aircraft of the register of the Federal Aviation Administration."""

    tailnum = dy.String(primary_key=True)
    year = dy.Int64(nullable=True, min=1900, max=2013)
    type = dy.String()
    manufacturer = dy.String()
    model = dy.String()
    engines = dy.Int64(min=1)
    seats = dy.Int64(min=1)
    speed = dy.Int64(nullable=True)
    engine = dy.String()


class RawAirports(dy.Schema):
    """One airport and its time zone."""

    faa = dy.String(primary_key=True)
    name = dy.String()
    lat = dy.Float64(min=-90, max=90)
    lon = dy.Float64(min=-180, max=180)
    alt = dy.Int64()
    tz = dy.Int64()
    dst = dy.String()
    tzone = dy.String(nullable=True)


def clean_flights(flights: pl.DataFrame, airports: pl.DataFrame) -> pl.DataFrame:
    """Flights with every time in UTC, the label `late`, and what a flight was seen to take.

    `time_hour` is UTC already; scheduled arrivals are on the clocks of the destination. `gain`: minutes lost
    (made good: negative) after departure; `lateness`: departure delay, early ones 0, at most four hours;
    `elapsed`: minutes from departure to arrival; `air_excess`: minutes in the air beyond those of calm air.
    """
    sched_dep = _utc(pl.col("time_hour")) + pl.duration(minutes="minute")
    timed = flights.with_columns(sched_dep=sched_dep).with_columns(
        dep_time=pl.col("sched_dep") + pl.duration(minutes="dep_delay"),
        sched_arr=_scheduled_arrival(flights.with_columns(sched_dep=sched_dep), airports),
    )
    scheduled = (pl.col("sched_arr") - pl.col("sched_dep")).dt.total_minutes()
    return timed.select(
        "partition_key",
        "batch_id",
        "carrier",
        "flight",
        "origin",
        "dest",
        "tailnum",
        "distance",
        "sched_dep",
        "sched_arr",
        "dep_time",
        "dep_delay",
        lateness=pl.col("dep_delay").clip(0, 240),
        left_late=pl.col("dep_delay") >= LATE_MINUTES,
        arr_time=pl.col("sched_arr") + pl.duration(minutes="arr_delay"),
        arr_delay=pl.col("arr_delay"),
        gain=pl.col("arr_delay") - pl.col("dep_delay"),
        late=pl.col("arr_delay") >= LATE_MINUTES,
        elapsed=scheduled + pl.col("arr_delay") - pl.col("dep_delay"),
        air_excess=pl.col("air_time") - CLIMB_MINUTES - pl.col("distance") * 60 // CRUISE_MPH,
    )


def clean_weather(weather: pl.DataFrame) -> pl.DataFrame:
    """Hourly weather in UTC; winds of broken sensors are repaired before (defs.yaml)."""
    return weather.select(
        "partition_key",
        "batch_id",
        "origin",
        time_hour=_utc(pl.col("time_hour")),
        temp=pl.col("temp"),
        dewp=pl.col("dewp"),
        humid=pl.col("humid"),
        wind_dir=pl.col("wind_dir"),
        wind_speed=pl.col("wind_speed"),
        wind_gust=pl.col("wind_gust"),
        precip=pl.col("precip"),
        pressure=pl.col("pressure"),
        visib=pl.col("visib"),
    )


def clean_planes(planes: pl.DataFrame) -> pl.DataFrame:
    """Aircraft with the columns that features use."""
    return planes.select("batch_id", "tailnum", "seats", "engines", plane_year="year")


def clean_airports(airports: pl.DataFrame) -> pl.DataFrame:
    """Airports with a time zone; four Caribbean ones that flights serve are missing from the register."""
    known = airports.select("batch_id", "faa", "tzone").drop_nulls("tzone")
    missing = pl.DataFrame({"faa": ["BQN", "PSE", "SJU", "STT"]}).select(
        "faa", batch_id=pl.lit("declared"), tzone=pl.lit("America/Puerto_Rico")
    )
    added = missing.join(known, on="faa", how="anti")
    return pl.concat([known, added.select(known.columns)])


def _utc(text: pl.Expr) -> pl.Expr:
    return text.str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", time_zone="UTC")


def _scheduled_arrival(flights: pl.DataFrame, airports: pl.DataFrame) -> pl.Series:
    """UTC time of the first HHMM `sched_arr_time` on the destination's clocks after departure."""
    zoned = flights.join(
        airports.select("faa", "tzone"), left_on="dest", right_on="faa", how="left", maintain_order="left"
    )
    minutes = (pl.col("sched_arr_time") // 100) * 60 + pl.col("sched_arr_time") % 100
    arrivals = [
        pl.when(pl.col("tzone") == zone).then(_next_local(pl.col("sched_dep"), minutes, zone))
        for zone in sorted(zoned["tzone"].drop_nulls().unique())
    ]
    return zoned.select(sched_arr=pl.coalesce(arrivals)).to_series()


def _next_local(after: pl.Expr, minutes: pl.Expr, zone: str) -> pl.Expr:
    midnight = after.dt.convert_time_zone(zone).dt.replace_time_zone(None).dt.truncate("1d")
    same_day = midnight + pl.duration(minutes=minutes)
    candidates = [
        (same_day + pl.duration(days=days))
        .dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        .dt.convert_time_zone("UTC")
        for days in (0, 1)
    ]
    return pl.when(candidates[0] > after).then(candidates[0]).otherwise(candidates[1])
