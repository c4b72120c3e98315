"""Flight delays: the features of a flight. `data.py` beside this file says what the data mean.

Question: 60 minutes before its scheduled departure, how likely is a flight to arrive 15 or more minutes
late? Every feature uses facts known at that moment. Times are UTC. Groups and windows were chosen on two
rolling folds (January-June -> July-August, January-August -> September-October), never on later months.
"""

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
    Static,
    col,
)
from mlplatform.use_cases.flight_delay.data import RawAirports as RawAirports
from mlplatform.use_cases.flight_delay.data import RawFlights as RawFlights
from mlplatform.use_cases.flight_delay.data import RawPlanes as RawPlanes
from mlplatform.use_cases.flight_delay.data import RawWeather as RawWeather
from mlplatform.use_cases.flight_delay.data import clean_airports as clean_airports
from mlplatform.use_cases.flight_delay.data import clean_flights as clean_flights
from mlplatform.use_cases.flight_delay.data import clean_planes as clean_planes
from mlplatform.use_cases.flight_delay.data import clean_weather as clean_weather
from mlplatform.use_cases.flight_delay.feed import feed as feed  # named by `streams` in defs.yaml

NEW_YORK = "America/New_York"

FLIGHT = ("carrier", "flight", "sched_dep")
ROUTE = ("carrier", "origin", "dest")
NUMBER = ("carrier", "flight")
HERE = ("carrier", "origin")
PAIR = ("origin", "dest")
WHERE: dict[str, str | tuple[str, ...]] = {
    "origin": "origin",
    "carrier": "carrier",
    "carrier_origin": HERE,
    "dest": "dest",
    "all": (),
}
"""The groups of flights whose queues are watched."""

schedule = Source("schedule", table="flights", at="sched_dep", key=FLIGHT)
departures = Source("departures", table="flights", at="dep_time", key=FLIGHT)
arrivals = Source("arrivals", table="flights", at="arr_time", key=FLIGHT)
weather = Source("weather", table="weather", at="time_hour", key=("origin", "time_hour"), lag="60m")

sched_dep, sched_arr = col("sched_dep"), col("sched_arr")

FEATURES = FeatureSet(
    "flight_delay",
    Spine(
        table="flights",
        key=FLIGHT,
        facts={
            "carrier": "string",
            "flight": "int",
            "origin": "string",
            "dest": "string",
            "tailnum": "string",
            "distance": "int",
            "sched_dep": "time",
            "sched_arr": "time",
        },
        as_of=sched_dep.minus("60m"),
    ),
    [
        # the flight itself
        Category("carrier"),
        Category("origin"),
        Category("dest"),
        Row("distance_miles", col("distance") * 1),
        Row("hour", sched_dep.hour(NEW_YORK)),
        Row("minute_of_day", sched_dep.minute_of_day(NEW_YORK)),
        Row("weekday", sched_dep.weekday(NEW_YORK)),
        Row("elapsed_minutes", sched_arr.minutes_since(sched_dep)),
        Row("miles_per_minute", col("distance") / col("elapsed_minutes")),
        Static("planes", by="tailnum", value="plane_year"),
        Static("planes", by="tailnum", value="seats"),
        # traffic of the last two hours: what was to leave and has not
        Agg(schedule, "origin", "count", "2h"),
        Agg(departures, "origin", "count", "2h", name="_departures_2h"),
        Row("not_departed_2h", col("schedule_count_2h_by_origin") - col("_departures_2h")),
        # delays of the last hours; 12 hours reach back to the morning
        *(Agg(departures, by, "mean", "2h", "dep_delay") for by in ("carrier", HERE, ())),
        Agg(departures, HERE, "mean", "6h", "dep_delay"),
        *(Agg(departures, by, "mean", "12h", "dep_delay") for by in ("carrier", ())),
        *(Agg(departures, by, "mean", "2h", "left_late") for by in ("origin", "carrier", HERE, ())),
        *(Agg(departures, by, "mean", "6h", "left_late") for by in ("origin", HERE)),
        Agg(departures, (), "mean", "1d", "left_late"),
        *(
            Agg(arrivals, by, "mean", window, "arr_delay")
            for by in ("origin", "carrier", HERE, ())
            for window in ("2h", "6h")
        ),
        # the queue of flights due: mean state, and load = minutes of delay that stand in the queue
        *(
            Open(schedule, departures, by, "mean_state", window, value="dep_delay")
            for by in ("origin", "carrier", HERE, ())
            for window in ("1h", "3h")
        ),
        Open(schedule, departures, "dest", "mean_state", "1h", value="dep_delay"),
        *(
            Open(
                schedule,
                departures,
                by,
                "mean_state",
                window,
                value="lateness",
                name=f"_late_{window}_{name}",
            )
            for name, by in WHERE.items()
            if name != "carrier_origin"
            for window in ("1h", "2h", "5h")
        ),
        *(
            Agg(schedule, by, "count", window, name=f"_due_{window}_{name}")
            for name, by in WHERE.items()
            if name != "carrier_origin"
            for window in ("1h", "2h", "5h")
        ),
        *(
            Row(
                f"{step}load_{window}_{name}",
                col(f"_late_{window}_{name}").coalesce(0.0) * col(f"_due_{window}_{name}"),
            )
            for name, step in (("origin", ""), ("all", ""), ("carrier", "_"), ("dest", "_"))
            for window in ("1h", "2h", "5h")
        ),
        # exp(-age / 90 minutes) in steps: 0.72 in the first hour, 0.37 in the second, 0.13 to the fifth
        *(
            Row(
                f"load_{name}",
                col(f"{step}load_1h_{name}") * 0.35
                + col(f"{step}load_2h_{name}") * 0.24
                + col(f"{step}load_5h_{name}") * 0.13,
            )
            for name, step in (("origin", ""), ("carrier", "_"), ("dest", "_"))
        ),
        # overdue, and the share late among those that left or are overdue
        *(Open(schedule, departures, by, "count", "5h", "15m") for by in WHERE.values()),
        *(Open(schedule, departures, by, "mean_age", "5h", "15m") for by in ("origin", ())),
        *(Agg(departures, by, "count", "2h", name=f"_left_{name}") for name, by in WHERE.items()),
        *(
            Agg(departures, by, "sum", "2h", "left_late", name=f"_left_late_{name}")
            for name, by in WHERE.items()
        ),
        *(
            Row(
                f"late_share_{name}",
                (col(f"_left_late_{name}") + col(f"schedule_open_count_5h_after_15m_by_{name}"))
                / (col(f"_left_{name}") + col(f"schedule_open_count_5h_after_15m_by_{name}")),
            )
            for name in WHERE
        ),
        # cancellations show as the share of a day's flights that never left
        *(Agg(schedule, by, "count", "1d", name=f"_due_1d_{name}") for name, by in WHERE.items()),
        *(Agg(departures, by, "count", "1d", name=f"_left_1d_{name}") for name, by in WHERE.items()),
        *(
            Row(
                f"not_gone_1d_{name}",
                (col(f"_due_1d_{name}") - col(f"_left_1d_{name}")) / col(f"_due_1d_{name}"),
            )
            for name in ("origin", "carrier", "carrier_origin", "all")
        ),
        # minutes lost after departure: of late, and against the usual of the same group
        *(
            Agg(arrivals, by, "mean", window, "gain")
            for by in ("origin", "dest", ())
            for window in ("3h", "7h", "1d")
        ),
        Agg(arrivals, "carrier", "mean", "7h", "gain"),
        *(Agg(arrivals, by, "mean", "28d", "gain", name=f"_gain_{by}") for by in ("origin", "dest")),
        *(
            Row(f"gain_residual_{by}", col(f"gain_mean_7h_by_{by}") - col(f"_gain_{by}"))
            for by in ("origin", "dest")
        ),
        # padding: scheduled minutes beyond the usual ones; and the day's residual less the route's padding
        *(
            Agg(arrivals, by, "mean", "28d", "elapsed", name=f"_elapsed_{'_'.join(by)}")
            for by in (NUMBER, ROUTE)
        ),
        Row("padding_number", col("elapsed_minutes") - col("_elapsed_carrier_flight")),
        Row("padding_route", col("elapsed_minutes") - col("_elapsed_carrier_origin_dest")),
        *(Agg(arrivals, by, "mean", "28d", "gain") for by in (NUMBER, ROUTE)),
        *(
            Row(f"expected_gain_{by}", col(f"gain_residual_{by}") - col("padding_route"))
            for by in ("origin", "dest")
        ),
        # wind: minutes in the air beyond calm air, against the usual; over all flights times the distance
        *(
            Agg(arrivals, by, "mean", window, "air_excess")
            for by in ("origin", "dest")
            for window in ("3h", "1d")
        ),
        *(
            Agg(arrivals, by, "mean", window, "air_excess", name=f"_air_{window}_{name}")
            for name, by in (("origin", "origin"), ("dest", "dest"), ("pair", PAIR), ("all", ()))
            for window in ("7h", "28d")
        ),
        *(
            Row(f"air_residual_{name}", col(f"_air_7h_{name}") - col(f"_air_28d_{name}"))
            for name in ("origin", "dest", "pair", "all")
        ),
        Row("wind_all", col("air_residual_all") * col("distance") / 1000),
        # the latest eight flights of the same number, route and place
        *(ExponentialMean(arrivals, by, "gain", "28d") for by in (NUMBER, ROUTE, PAIR, "dest")),
        *(
            ExponentialMean(arrivals, by, "arr_delay", "28d")
            for by in (NUMBER, ROUTE, PAIR, HERE, "dest", ("carrier", "dest"))
        ),
        ExponentialMean(arrivals, NUMBER, "late", "28d"),
        # history of days and weeks; nothing slow over all flights, which would only tell the season
        *(Agg(arrivals, by, "mean", "1d", "late") for by in (HERE, ())),
        *(Agg(arrivals, by, "mean", "3d", "late") for by in ("origin", "carrier", ())),
        Agg(arrivals, NUMBER, "mean", "7d", "late"),
        *(Agg(arrivals, by, "mean", "28d", "late") for by in (NUMBER, ROUTE, HERE)),
        Agg(arrivals, HERE, "mean", "7d", "arr_delay"),
        *(Agg(arrivals, by, "mean", "28d", "arr_delay") for by in (NUMBER, ROUTE, HERE)),
        # the aircraft's day so far: its latest leg out of New York, and when that lets it be back
        Last(departures, "tailnum", "dep_delay", "18h"),
        Last(arrivals, "tailnum", "arr_delay", "18h"),
        Last(departures, "tailnum", "age", "18h", name="tail_departed_minutes_ago"),
        Last(schedule, "tailnum", "sched_dep", "18h", name="_leg_dep"),
        Last(schedule, "tailnum", "sched_arr", "18h", name="_leg_arr"),
        Last(departures, "tailnum", "sched_dep", "18h", name="_gone_dep"),
        Last(arrivals, "tailnum", "sched_dep", "18h", name="_come_dep"),
        Row("_tail_slack", sched_dep.minutes_since(col("_leg_arr"))),
        Row("tail_slack_left", col("_tail_slack") - col("dep_delay_last_by_tailnum").coalesce(0)),
        # 1 while the leg has not left (not arrived), else 0
        Row("_not_gone", (col("_leg_dep").minutes_since(col("_gone_dep")) > 0).coalesce(1)),
        Row("_not_come", (col("_leg_dep").minutes_since(col("_come_dep")) > 0).coalesce(1)),
        # delay of the leg: where it has not left, at least 10 minutes from now; in the air it makes good 5
        Row("_waiting", (col("as_of").minutes_since(col("_leg_dep")) + 10).clip(0, 600)),
        Row("_flying", col("dep_delay_last_by_tailnum").coalesce(0) - 5),
        Row("_landed", col("arr_delay_last_by_tailnum").coalesce(0)),
        Row("_gone_delay", col("_landed") + col("_not_come") * (col("_flying") - col("_landed"))),
        Row("leg_delay", col("_gone_delay") + col("_not_gone") * (col("_waiting") - col("_gone_delay"))),
        # two turns of 35 minutes, and the way back, which takes 0.97 of the way out
        Row(
            "leg_slack",
            col("_tail_slack")
            - col("leg_delay")
            - col("_leg_arr").minutes_since(col("_leg_dep")) * 0.97
            - 70,
        ),
        Row("leg_lateness", (col("leg_slack") * -1).clip(0, 600)),
        # expected arrival delay: late aircraft or queue, and what such flights lose on the way
        *(
            Row(name, start + col("gain_exponential_mean_28d_8_0_75_by_carrier_origin_dest"))
            for name, start in (
                ("arrival_by_aircraft", col("leg_lateness")),
                (
                    "arrival_by_queue",
                    col("schedule_open_mean_state_1h_by_carrier_origin").coalesce(
                        col("schedule_open_mean_state_3h_by_origin")
                    ),
                ),
            )
        ),
        # weather at the origin and at all three airports, an hour old, and how it changed
        *(
            Last(weather, "origin", value, "6h")
            for value in ("temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "visib", "pressure")
        ),
        *(
            Last(weather, "origin", value, "6h", ago="3h", name=f"_{value}_3h_ago")
            for value in ("pressure", "temp", "visib")
        ),
        *(
            Row(f"{value}_change_3h", col(f"{value}_last_by_origin") - col(f"_{value}_3h_ago"))
            for value in ("pressure", "temp", "visib")
        ),
        *(Agg(weather, by, "sum", "6h", "precip", scale=100) for by in ("origin", ())),
        *(Agg(weather, (), "min", window, "visib", scale=100) for window in ("2h", "6h")),
        *(
            Agg(weather, (), "mean", "2h", value, scale=100)
            for value in ("visib", "wind_speed", "humid", "dewp")
        ),
        Agg(weather, (), "max", "3h", "wind_gust", scale=100),
    ],
)
