"""Batches: what is known of a delivery, and the rows by which it is written to the lake.

They must not keep bytes nor commit; `raw.py` does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Literal

import msgspec
import polars as pl

from mlplatform.stores.lake import Table, Write

BATCHES, QUARANTINE = "batches", "quarantine"

INSTANT = pl.Datetime("us", "UTC")
MANIFEST_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "partition_key": pl.String,
    "batch_id": pl.String,
    "data_set": pl.String,
    "partition": pl.String,
    "status": pl.String,
    "reason": pl.String,
    "source": pl.String,
    "objects": pl.List(pl.String),
    "sha256": pl.String,
    "bytes": pl.Int64,
    "rows": pl.Int64,
    "rejected": pl.Int64,
    "event_from": INSTANT,
    "event_until": INSTANT,
    "schema_version": pl.String,
    "received_at": INSTANT,
    "message_id": pl.String,
}
QUARANTINE_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "partition_key": pl.String,
    "batch_id": pl.String,
    "data_set": pl.String,
    "partition": pl.String,
    "reason": pl.String,
    "line": pl.Int64,
    "document": pl.String,
}


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one delivery of one partition.

    batch_id : 24 hexadecimal digits over data set, partition and content
    status : "accepted", or "refused" (its bytes are kept, no row of it is served), with the `reason`
    source : where it came from (a URI)
    objects : SHA-256 of the kept files that hold it
    sha256 : of the delivery's content; of one file that is one delivery, that file's
    rows, rejected : rows served, and rows set aside in the quarantine
    event_from, event_until : range of the rows' own times (UTC), where a time column is declared
    message_id : of the message that announced it; empty if none did
    current : whether readers of its partition see its rows; false once a later batch took its place
    """

    batch_id: str
    data_set: str
    partition: str
    source: str
    objects: tuple[str, ...]
    sha256: str
    bytes: int
    rows: int
    received_at: datetime
    status: Literal["accepted", "refused"] = "accepted"
    reason: str = ""
    rejected: int = 0
    event_from: datetime | None = None
    event_until: datetime | None = None
    schema_version: str = ""
    message_id: str = ""
    current: bool = True


@dataclass(frozen=True)
class Kept:
    """A file of the store: its SHA-256 (hexadecimal) and its length."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Batch:
    """A delivery to commit: its manifest, its typed rows and its rejected rows.

    rows : the data set's columns, `batch_id` and `partition_key` (absent for a data set without partitions)
    rejected : columns `reason`, `line` (from 1) and `document` (the row as JSON)
    """

    manifest: Manifest
    rows: pl.DataFrame
    rejected: pl.DataFrame


def batch_id(data_set: str, partition: str, sha: str) -> str:
    """The id of a batch, 24 hexadecimal digits: the same content of a partition has the same id."""
    return sha256(f"{data_set}\n{partition}\n{sha}".encode()).hexdigest()[:24]


def writes(use_case: str, batches: Sequence[Batch]) -> list[Write]:
    """What to write, in one transaction, so that batches exist: rows, rejected rows, manifests."""
    accepted: dict[str, list[Batch]] = {}
    for batch in batches:
        if batch.manifest.status == "accepted":
            accepted.setdefault(batch.manifest.data_set, []).append(batch)
    writes = [_rows(Table(use_case, f"raw_{data_set}"), members) for data_set, members in accepted.items()]
    rejected = [_rejected(batch) for batch in batches]
    quarantined = pl.concat([pl.DataFrame(schema=QUARANTINE_SCHEMA), *rejected])
    manifests = pl.DataFrame([_row(batch.manifest) for batch in batches], schema=MANIFEST_SCHEMA)
    keys = manifests["partition_key"].to_list()
    return [
        *writes,
        Write(Table(use_case, QUARANTINE), quarantined, keys, allow_empty=True),
        Write(Table(use_case, BATCHES), manifests, keys),
    ]


def _rows(table: Table, batches: Sequence[Batch]) -> Write:
    rows = pl.concat([batch.rows for batch in batches])
    whole = "partition_key" not in rows.columns
    return Write(table, rows, None if whole else [b.manifest.partition for b in batches], allow_empty=True)


def _rejected(batch: Batch) -> pl.DataFrame:
    named = {
        "partition_key": key_of(batch.manifest),
        "batch_id": batch.manifest.batch_id,
        "data_set": batch.manifest.data_set,
        "partition": batch.manifest.partition,
    }
    columns = [pl.lit(value, pl.String).alias(name) for name, value in named.items()]
    casts = [pl.col(name).cast(kind) for name, kind in QUARANTINE_SCHEMA.items()]
    return batch.rejected.with_columns(columns).select(casts)


def after(batch: Batch, received_at: datetime) -> Batch:
    """The batch as one that came after another: the newest is the one that is served."""
    at = max(batch.manifest.received_at, received_at + timedelta(microseconds=1))
    return replace(batch, manifest=msgspec.structs.replace(batch.manifest, received_at=at))


def _row(manifest: Manifest) -> dict[str, object]:
    row = msgspec.structs.asdict(manifest)
    del row["current"]
    return {**row, "partition_key": key_of(manifest)}


def key_of(manifest: Manifest) -> str:
    """The partition of a manifest.

    A refused delivery has rows of its own, beside those of the same content accepted at another time.
    """
    return f"{manifest.batch_id}{'.refused' if manifest.status == 'refused' else ''}"
