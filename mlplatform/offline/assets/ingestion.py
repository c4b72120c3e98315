"""Assets of ingestion: each data set as its source delivered it, one independent pipeline each."""

from collections.abc import Iterator
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetsDefinition,
    Output,
)

from mlplatform.offline import partitions
from mlplatform.offline.assets._shared import key, keys_of_run, stage_asset
from mlplatform.offline.declared import Declared, canonical
from mlplatform.offline.io_manager import ALLOW_EMPTY
from mlplatform.stages.ingestion.batch import with_batch_ids
from mlplatform.stages.ingestion.contract import check, schema_of


def raw_version(declared: Declared, data_set: str) -> str:
    """What decides the content of a raw data set."""
    config = declared.config.data_sets[data_set]
    return declared.version(
        data_set, config.source, canonical(config.options), schema_of(declared.contract(data_set))
    )


def build(declared: Declared) -> list[AssetsDefinition]:
    """`raw_<data set>` for every data set."""
    return [_raw(declared, name) for name in declared.config.data_sets]


def _raw(declared: Declared, data_set: str) -> AssetsDefinition:
    config, contract = declared.config.data_sets[data_set], declared.contract(data_set)
    name = f"raw_{data_set}"

    @stage_asset(
        declared,
        "ingestion",
        name,
        version=raw_version(declared, data_set),
        kinds={config.source, "polars"},
        partitions_def=partitions.days(declared) if config.daily else None,
        description=f"{_said(contract)}\n\nAs `{config.source}` delivered it: never changed, every row with "
        "the id of its batch.",
        check_specs=[
            AssetCheckSpec(
                "contract", asset=key(declared, name), description="Every row keeps its data contract."
            )
        ],
        metadata={ALLOW_EMPTY: True},
    )
    def raw(context: AssetExecutionContext) -> Iterator[Any]:
        wanted = keys_of_run(context) if config.daily else None
        delivered = declared.source(data_set).read(schema_of(contract), wanted)
        batches = with_batch_ids(delivered, data_set)
        checked = check(batches, contract)
        yield Output(batches, metadata={"batches": batches["batch_id"].n_unique()})
        broken = {f"broken: {rule}": rows for rule, rows in checked.broken.items()}
        yield AssetCheckResult(
            check_name="contract",
            passed=checked.rejected == 0,
            metadata={"rows checked": batches.height, "rejected": checked.rejected, **broken},
        )

    return raw


def _said(contract: type) -> str:
    return (contract.__doc__ or contract.__name__).strip()
