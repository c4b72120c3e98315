"""Late orders: what a row means, and the features of an order. Copied to a folder as its features.py."""

import dataframely as dy
import polars as pl

from mlplatform.features import Agg, Category, FeatureSet, Last, Open, Row, Source, Spine, Static, col

DAYS_OF_GRACE = 0


class RawOrders(dy.Schema):
    """One order of a shop; times are UTC, ISO 8601."""

    order_id = dy.Int64(primary_key=True, min=1)
    customer = dy.Int64(min=1)
    warehouse = dy.String(regex="^[A-Z]{3}$")
    weight_g = dy.Int64(nullable=True, min=1, max=40_000)
    express = dy.Bool()
    placed = dy.String(regex=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:00Z$")
    promised = dy.String()
    shipped = dy.String(nullable=True)
    delivered = dy.String(nullable=True)


class RawWarehouses(dy.Schema):
    """One warehouse."""

    warehouse = dy.String(primary_key=True)
    packers = dy.Int64(min=1)


def clean_orders(orders: pl.DataFrame, warehouses: pl.DataFrame) -> pl.DataFrame:
    """Orders of known warehouses with every time in UTC and the label `late`."""
    times = {name: _utc(name) for name in ("placed", "promised", "shipped", "delivered")}
    timed = orders.join(warehouses.select("warehouse"), on="warehouse", how="semi").with_columns(**times)
    return timed.with_columns(
        hours_to_ship=(pl.col("shipped") - pl.col("placed")).dt.total_hours(),
        days_late=(pl.col("delivered") - pl.col("promised")).dt.total_days(),
        late=pl.col("delivered") > pl.col("promised") + pl.duration(days=DAYS_OF_GRACE),
    )


def clean_warehouses(warehouses: pl.DataFrame) -> pl.DataFrame:
    """Warehouses and how many people pack there."""
    return warehouses.select("batch_id", "warehouse", "packers")


def _utc(name: str) -> pl.Expr:
    return pl.col(name).str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", time_zone="UTC")


placed = Source("orders", table="orders", at="placed", key=("order_id",))
shipped = Source("shipments", table="orders", at="shipped", key=("order_id",))
delivered = Source("deliveries", table="orders", at="delivered", key=("order_id",), lag="30m")

FEATURES = FeatureSet(
    "late_orders",
    Spine(
        table="orders",
        key=("order_id",),
        facts={
            "order_id": "int",
            "warehouse": "string",
            "weight_g": "int",
            "express": "bool",
            "placed": "time",
            "promised": "time",
        },
        as_of=col("placed").minus("0m"),
    ),
    [
        Category("warehouse"),
        Row("weight", col("weight_g") * 1),
        Row("weekday", col("placed").weekday("UTC")),
        Row("minutes_promised", col("promised").minutes_since(col("placed"))),
        Static("warehouses", by="warehouse", value="packers"),
        Agg(placed, "warehouse", "count", "1d"),
        Agg(shipped, "warehouse", "mean", "1d", "hours_to_ship"),
        Agg(delivered, "warehouse", "mean", "3d", "late"),
        Agg(delivered, "warehouse", "mean", "7d", "late"),
        Last(delivered, "warehouse", "days_late", "7d"),
        Open(placed, shipped, "warehouse", "count", "4d", "1d"),
    ],
)
