"""The small world of `world.py` as a stream: what the lake knew at a moment, and the events from then on.

An order is announced six hours before it is placed, so its question is pending for a while.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from mlplatform.online.events import Incoming
from mlplatform.online.streams import Streams, StreamSources, of_declaration
from mlplatform.stages.preparation import batch
from mlplatform.stores.lake import Lake, Table
from mlplatform_tests.online.world import FEATURES, SHOPS, START, USE_CASE, orders

STREAM = "order_events"
ANNOUNCED = timedelta(hours=6)
CUTOVER = START + timedelta(days=3)
SOURCES = {"placed": "placed", "shipped": "shipped", "returned": "returned"}
_CLOCKS = {
    "placed": ("placed", -ANNOUNCED, ["amount", "weight", "express"]),
    "shipped": ("shipped", timedelta(minutes=5), ["amount", "handling"]),
    "returned": ("returned_at", timedelta(0), ["late_return"]),
}
_WHO = ["order_id", "shop", "country"]


def streams() -> Streams:
    """What `mlplatform up` would have published."""
    return of_declaration(USE_CASE, {STREAM: StreamSources(sources=SOURCES)}, FEATURES)


def world_orders(per_day: int = 60) -> pl.DataFrame:
    """Six days of orders."""
    return orders(days=6, per_day=per_day, seed=5)


def fill(lake: Lake, frame: pl.DataFrame) -> None:
    """Write what was known at the cutover."""
    known = frame.filter(pl.col("placed") - ANNOUNCED < CUTOVER)
    for kind, others in (("shipped", ["handling"]), ("returned", ["late_return"])):
        clock, later, _ = _CLOCKS[kind]
        told = pl.col(clock) + later < CUTOVER
        known = known.with_columns(pl.when(told).then(name).alias(name) for name in [*others, clock])
    lake.write(Table(USE_CASE, "orders"), known, known["partition_key"].unique().to_list())
    lake.write(Table(USE_CASE, "shops"), SHOPS)


def events(frame: pl.DataFrame) -> list[Incoming]:
    """The events from the cutover on, in order of time; the last one makes every question of `frame` due."""
    found = [made for kind in _CLOCKS for made in _events(kind, frame) if made.time >= CUTOVER]
    found.sort(key=lambda event: event.time)
    last = found[-1].time + timedelta(hours=12)
    end = {"type": "placed", "order_id": 999_999, "placed": _text(last + ANNOUNCED)}
    return [*found, Incoming("the-end", last, "the end", json.dumps(end).encode())]


def _events(kind: str, frame: pl.DataFrame) -> Iterator[Incoming]:
    clock, later, columns = _CLOCKS[kind]
    for row in frame.drop_nulls(clock).iter_rows(named=True):
        data = {name: row[name] for name in [*_WHO, *columns] if row[name] is not None}
        document = json.dumps({"type": kind, clock: _text(row[clock]), **data}).encode()
        yield Incoming(f"{kind}-{row['order_id']}", row[clock] + later, str(row["order_id"]), document)


def _text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def expected(frame: pl.DataFrame) -> pl.DataFrame:
    """What the batch executor computes for the questions that the stream asks, by key."""
    asked = frame.filter(pl.col("placed") - ANNOUNCED >= CUTOVER)
    rows = batch.compute(FEATURES, asked, {"orders": frame, "shops": SHOPS})
    return rows.with_columns(day=asked["partition_key"]).sort("order_id")


def stored(lake: Lake) -> pl.DataFrame:
    """What was prepared, by key."""
    table = Table(USE_CASE, "features_online")
    return lake.read(table).sort("order_id") if lake.exists(table) else pl.DataFrame()


def differences(lake: Lake, frame: pl.DataFrame) -> dict[str, Any]:
    """Questions missing, doubled or not asked, and cells that are not those of the batch executor."""
    got, wanted = stored(lake), expected(frame)
    keys = got["order_id"].to_list() if got.height else []
    ids = wanted["order_id"].to_list()
    compared = got.select(wanted.columns) if keys == ids else None
    cells = [] if compared is None else [c for c in wanted.columns if not compared[c].equals(wanted[c])]
    return {
        "missing": sorted(set(ids) - set(keys)),
        "doubled": sorted({key for key in keys if keys.count(key) > 1}),
        "strange": sorted(set(keys) - set(ids)),
        "columns": cells,
    }


NONE: dict[str, Any] = {"missing": [], "doubled": [], "strange": [], "columns": []}
