"""Flight delays for a demonstration: features of flight_delay that look back a day at most, without weather.

With less to remember, three months pass in minutes; what a flight is, and what is asked of it, is the same.
"""

from collections.abc import Iterator

import polars as pl

from mlplatform.use_cases.flight_delay.data import RawAirports as RawAirports
from mlplatform.use_cases.flight_delay.data import RawFlights as RawFlights
from mlplatform.use_cases.flight_delay.data import clean_airports as clean_airports
from mlplatform.use_cases.flight_delay.data import clean_flights as clean_flights
from mlplatform.use_cases.flight_delay.features import FEATURES as ALL
from mlplatform.use_cases.flight_delay.feed import Event
from mlplatform.use_cases.flight_delay.feed import feed as with_weather

_NO_WEATHER = pl.DataFrame(schema={"origin": pl.String, "time_hour": pl.Datetime("us", "UTC")})

FEATURES = ALL.only(
    (
        "carrier",
        "origin",
        "dest",
        "hour",
        "elapsed_minutes",
        "schedule_open_mean_state_1h_by_carrier_origin",
        "schedule_open_mean_state_3h_by_origin",
        "load_origin",
        "load_1h_all",
        "late_share_carrier_origin",
        "late_share_all",
        "gain_mean_7h_by_dest",
        "late_mean_1d_by_carrier_origin",
        "leg_lateness",
    )
)


def feed(tables: dict[str, pl.DataFrame]) -> Iterator[Event]:
    """The events of flights alone, in order of time; see flight_delay."""
    return with_weather({"flights": tables["flights"], "weather": _NO_WEATHER})
