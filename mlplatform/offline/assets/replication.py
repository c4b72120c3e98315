"""The asset that brings a day's rows into an online feature store that several services share.

It is only there when the deployment has such a store (MLPLATFORM_ONLINE_STORE); a service with a memory of
its own reads the lake itself.
"""

from contextlib import closing
from typing import Any

import polars as pl
from dagster import AssetDep, AssetExecutionContext, AssetKey, AssetsDefinition, Output

from mlplatform.crosscutting.settings import Settings
from mlplatform.offline import partitions
from mlplatform.offline.assets._shared import key, keys_of_run, stage_asset
from mlplatform.offline.assets.preparation import features_version
from mlplatform.offline.declared import Declared
from mlplatform.offline.resources import LakeResource
from mlplatform.stores.online import open_online_store, shared, without_password
from mlplatform.stores.warmup import replicate

REPLICATED = "replicated"


def replicated_key(declared: Declared, settings: Settings) -> list[AssetKey]:
    """The key of the asset, if the deployment has it."""
    return [key(declared, REPLICATED)] if shared(settings.online_store) else []


def build(declared: Declared, settings: Settings) -> list[AssetsDefinition]:
    """`replicated`, a row per day and source, or nothing for a store in memory."""
    if not shared(settings.online_store):
        return []
    url = settings.online_store

    @stage_asset(
        declared,
        "preparation",
        REPLICATED,
        version=declared.version(features_version(declared), without_password(url)),
        kinds={"redis"},
        partitions_def=partitions.days(declared),
        deps=[AssetDep(key(declared, "features"))],
        description="The day's rows and the registers, told to the online feature store; rows it has stay as "
        "they are.",
    )
    def replicated(context: AssetExecutionContext, mlplatform_lake: LakeResource) -> Output[Any]:
        lake, rows = mlplatform_lake.lake(), []
        with closing(open_online_store(url, declared.feature_set, declared.name)) as store:
            for day in keys_of_run(context):
                told = replicate(store, lake, declared.name, [day])
                rows += [
                    {"partition_key": day, "source": name, "rows": count} for name, count in told.items()
                ]
        frame = pl.DataFrame(rows, schema={"partition_key": pl.String, "source": pl.String, "rows": pl.Int64})
        return Output(frame, metadata={"store": without_password(url), "rows told": int(frame["rows"].sum())})

    return [replicated]
