"""Assets of ingestion: each data set as its source delivered it, one independent pipeline each."""

from collections.abc import Iterable, Iterator
from typing import Any

import polars as pl
from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetsDefinition,
    MaterializeResult,
    MetadataValue,
)

from mlplatform.offline import partitions
from mlplatform.offline.assets._shared import key, keys_of_run, lines, stage_asset, table
from mlplatform.offline.declared import Declared, canonical
from mlplatform.offline.ingested import Expected, Ingested
from mlplatform.offline.ingestion_service import IngestionService
from mlplatform.offline.io_manager import column_schema
from mlplatform.offline.resources import LakeResource, RawResource
from mlplatform.sources._contract import Delivery
from mlplatform.sources._uri import delivery_at
from mlplatform.stores.batches import Manifest
from mlplatform.stores.raw import RawStore

URI, ROWS, SHA256, SCHEMA, MESSAGE = (
    f"mlplatform/{name}" for name in ("uri", "rows", "sha256", "schema_version", "message_id")
)
"""Tags of a run that a message started: where the delivery is, and what is said of it."""


def raw_version(declared: Declared, data_set: str) -> str:
    """What decides the content of a raw data set."""
    config = declared.config.data_sets[data_set]
    rules = declared.rules(data_set)
    return declared.version(
        data_set, config.source, canonical(config.options), rules.schema, rules.any_order, rules.most_rejected
    )


def service(declared: Declared, data_set: str, store: RawStore) -> IngestionService:
    """The ingestion service of a data set."""
    config = declared.config.data_sets[data_set]
    return IngestionService(
        store,
        declared.name,
        data_set,
        declared.rules(data_set),
        partitioned=config.daily,
        event_time=config.event_time,
    )


def build(declared: Declared) -> list[AssetsDefinition]:
    """`raw_<data set>` for every data set."""
    return [_raw(declared, name) for name in declared.config.data_sets]


def _raw(declared: Declared, data_set: str) -> AssetsDefinition:
    config, name = declared.config.data_sets[data_set], f"raw_{data_set}"

    @stage_asset(
        declared,
        "ingestion",
        name,
        version=raw_version(declared, data_set),
        kinds={config.source, "polars"},
        partitions_def=partitions.days(declared) if config.daily else None,
        pool=f"source_{config.source}",
        description=f"{_said(declared, data_set)}\n\nAs `{config.source}` delivered it: its bytes are kept "
        "untouched, every row carries the id of its batch, rows that break the contract are in `quarantine`.",
        check_specs=[
            AssetCheckSpec(
                "contract", asset=key(declared, name), description="Every row keeps its data contract."
            )
        ],
    )
    def raw(
        context: AssetExecutionContext, mlplatform_raw: RawResource, mlplatform_lake: LakeResource
    ) -> Iterator[Any]:
        wanted = keys_of_run(context) if config.daily else None
        tags = context.run.tags
        deliveries: Iterable[Delivery] = declared.source(data_set).deliveries(wanted)
        if URI in tags:
            deliveries = delivery_at(tags[URI], wanted, declared.folder)
        store = mlplatform_raw.store()
        done = service(declared, data_set, store).ingest(deliveries, _expected(tags))
        done.raise_if_refused(data_set)
        current = _current(store, declared, data_set, wanted)
        shape = mlplatform_lake.lake().read(declared.table(name), partitions=[]) if config.daily else None
        yield MaterializeResult(metadata=_metadata(declared, name, done, current, mlplatform_lake, shape))
        yield _contract_check(current)

    return raw


def _expected(tags: Any) -> Expected:
    rows = tags.get(ROWS)
    return Expected(
        int(rows) if rows is not None else None, tags.get(SHA256), tags.get(SCHEMA), tags.get(MESSAGE, "")
    )


def _current(store: RawStore, declared: Declared, data_set: str, wanted: list[str] | None) -> list[Manifest]:
    """The manifests of what is served now of the partitions of this run."""
    among = None if wanted is None else set(wanted)
    found = [m for m in store.manifests(declared.name, data_set) if m.current]
    return [m for m in found if among is None or m.partition in among]


def _metadata(
    declared: Declared,
    name: str,
    done: Ingested,
    current: list[Manifest],
    lake: LakeResource,
    shape: pl.DataFrame | None,
) -> dict[str, Any]:
    rows = sum(manifest.rows for manifest in current)
    stored = declared.table(name)
    return {
        "dagster/table_name": str(stored),
        "dagster/row_count": lake.lake().row_count(stored),
        "rows_written": rows,
        "batches": len(current),
        "new batches": len(done.accepted),
        "unchanged": len(done.unchanged),
        "rejected rows": sum(manifest.rejected for manifest in current),
        "bytes": sum(manifest.bytes for manifest in current),
        **({"batch": _batch(current[0])} if len(current) == 1 else {}),
        **({"dagster/partition_row_count": rows} if shape is not None and len(current) == 1 else {}),
        **(
            {"dagster/column_schema": column_schema(shape)} if shape is not None and len(current) == 1 else {}
        ),
    }


def _batch(manifest: Manifest) -> MetadataValue:
    return lines(
        [
            f"batch `{manifest.batch_id}`, received {manifest.received_at:%Y-%m-%d %H:%M:%S} UTC",
            f"from {manifest.source}, {manifest.bytes} bytes, SHA-256 `{manifest.sha256}`",
            f"{manifest.rows} rows served, {manifest.rejected} set aside",
        ]
    )


def _contract_check(current: list[Manifest]) -> AssetCheckResult:
    broken = [manifest for manifest in current if manifest.rejected]
    rejected = sum(manifest.rejected for manifest in broken)
    shown = pl.DataFrame(
        [{"partition": m.partition, "batch": m.batch_id, "rejected": m.rejected} for m in broken]
    )
    return AssetCheckResult(
        check_name="contract",
        passed=rejected == 0,
        metadata={
            "rows checked": sum(manifest.rows for manifest in current) + rejected,
            "rejected": rejected,
            **({"where": table(shown)} if broken else {}),
        },
    )


def _said(declared: Declared, data_set: str) -> str:
    if data_set not in declared.tables:
        return "Schema-less documents, one JSON object a row."
    contract = declared.contract(data_set)
    return (contract.__doc__ or contract.__name__).strip()
