"""Departures: how many aircraft leave each New York airport in each hour of a day, forecast as it begins.

One row is one hour of a forecast. Days and hours are those of UTC: the day begins at 19:00 or 20:00 in New
York, when the last wave of the evening is still to leave.
"""

import dataframely as dy
import polars as pl

from mlplatform.features import Category, FeatureSet, Last, Row, Source, Spine, col

NEW_YORK = "America/New_York"
LAGS = 14 * 24
"""Hours of the past that a forecast looks at: two weeks, so that every weekday is there twice."""


class RawDepartures(dy.Schema):
    """One hour of one airport: how many aircraft took off."""

    origin = dy.String(primary_key=True, regex="^(EWR|JFK|LGA)$")
    hour = dy.String(primary_key=True, regex=r"^\d{4}-\d\d-\d\dT\d\d:00:00Z$")
    departures = dy.Int64(min=0, max=200)


def clean_departures(departures: pl.DataFrame) -> pl.DataFrame:
    """Hours with their time in UTC and `made_at`, the beginning of the day they are forecast from."""
    hour = pl.col("hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", time_zone="UTC")
    return departures.select(
        "partition_key",
        "batch_id",
        "origin",
        hour=hour,
        made_at=hour.dt.truncate("1d"),
        departures="departures",
    )


# An hour's count is known when the hour is over.
counts = Source("departures", table="departures", at="hour", key=("origin", "hour"), lag="60m")

FEATURES = FeatureSet(
    "departures_forecast",
    Spine(
        table="departures",
        key=("origin", "made_at", "hour"),
        facts={"origin": "string", "made_at": "time", "hour": "time"},
        as_of=col("made_at").minus("0m"),
    ),
    [
        Category("origin"),
        Row("step", col("hour").minutes_since(col("made_at")) / 60 + 1),
        Row("hour_of_day", col("hour").hour(NEW_YORK)),
        Row("weekday", col("hour").weekday(NEW_YORK)),
        # lag_1 is the newest hour that is over
        *(
            Last(counts, "origin", "departures", "1h", ago=f"{lag - 1}h", name=f"lag_{lag}")
            for lag in range(1, LAGS + 1)
        ),
    ],
)
