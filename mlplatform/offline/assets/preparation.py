"""Assets of preparation: cleaned tables, and the features of every question, point in time."""

import inspect
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import polars as pl
from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetDep,
    AssetExecutionContext,
    AssetIn,
    AssetsDefinition,
    Output,
    TableColumn,
    TableSchema,
    TimeWindowPartitionMapping,
)

from mlplatform.offline import leakage, partitions
from mlplatform.offline.assets._condition import examined, shown, verdict
from mlplatform.offline.assets._shared import IO, key, keys_of_run, stage_asset, table
from mlplatform.offline.assets.ingestion import raw_version
from mlplatform.offline.column_lineage import of_cleaned, of_features
from mlplatform.offline.declared import Declared, canonical, needed_columns
from mlplatform.offline.features_file import code_of
from mlplatform.offline.io_manager import ALLOW_EMPTY
from mlplatform.offline.resources import LakeResource
from mlplatform.stages.preparation.batch import compute
from mlplatform.stages.preparation.declarations import FeatureSet, described
from mlplatform.stores import stored_features
from mlplatform.stores.lake import Lake


def clean_version(declared: Declared, data_set: str) -> str:
    """What decides the content of a cleaned table: raw data, contract, function and what it uses."""
    config = declared.config.data_sets[data_set]
    reads = [clean_version(declared, other) for other in config.reads]
    rules = canonical([rule.model_dump() for rule in [*config.repairs, *config.condition]])
    contract = inspect.getsource(declared.contract(data_set))
    code = code_of(declared.clean(data_set))
    return declared.version(raw_version(declared, data_set), contract, code, rules, *reads)


def features_version(declared: Declared) -> str:
    """What decides the features: their declaration and the tables they read."""
    tables = [clean_version(declared, name) for name in declared.feature_tables]
    return declared.version(declared.feature_set.id, *tables)


def build(declared: Declared) -> list[AssetsDefinition]:
    """A cleaned table per data set, and `features`."""
    return [*(_cleaned(declared, name) for name in declared.tables), _features(declared)]


def _cleaned(declared: Declared, data_set: str) -> AssetsDefinition:
    config, clean = declared.config.data_sets[data_set], declared.clean(data_set)

    @stage_asset(
        declared,
        "preparation",
        data_set,
        version=clean_version(declared, data_set),
        kinds={"polars", "duckdb"},
        pool="store_lake",
        partitions_def=partitions.days(declared) if config.daily else None,
        ins={
            "raw": AssetIn(key(declared, f"raw_{data_set}"), input_manager_key=IO),
            **{name: AssetIn(key(declared, name), input_manager_key=IO) for name in config.reads},
        },
        description=inspect.getdoc(clean),
        metadata={ALLOW_EMPTY: True},
        check_specs=[
            AssetCheckSpec(
                "condition",
                asset=key(declared, data_set),
                blocking=True,
                description="Missing values, outliers, formats and trends are within the declared limits.",
            )
        ],
    )
    def cleaned(
        context: AssetExecutionContext,
        raw: pl.DataFrame,
        mlplatform_lake: LakeResource,
        **reads: pl.DataFrame,
    ) -> Iterator[Any]:
        keys = keys_of_run(context) if config.daily else None
        seen = examined(declared, data_set, mlplatform_lake.lake(), raw, keys)
        rows = clean(seen.repaired.frame, *(reads[name] for name in config.reads))
        sample = table(rows.drop("partition_key", "batch_id", strict=False), most=5)
        known = of_cleaned(declared, data_set, seen.repaired.frame, rows)
        if known:
            context.add_asset_metadata(known, partition_key=keys[-1] if keys else None)
        yield Output(rows, metadata={**shown(seen), "sample": sample})
        yield AssetCheckResult(check_name="condition", **verdict(seen))

    return cleaned


def _features(declared: Declared) -> AssetsDefinition:
    feature_set, daily = declared.feature_set, partitions.days(declared)
    reach = TimeWindowPartitionMapping(
        start_offset=-declared.warm_up_days, end_offset=0, allow_nonexistent_upstream_partitions=True
    )

    @stage_asset(
        declared,
        "preparation",
        "features",
        version=features_version(declared),
        kinds={"polars"},
        pool="store_lake",
        metadata={"dagster/column_schema": _columns(feature_set)},
        partitions_def=daily,
        deps=[
            AssetDep(key(declared, name), partition_mapping=reach if name in declared.daily else None)
            for name in declared.feature_tables
        ],
        description=f"{len(feature_set.names)} features per question, as known when it was asked: "
        f"feature set `{feature_set.id}`. The columns say how each is declared.",
        check_specs=[
            AssetCheckSpec(
                "no_leakage",
                asset=key(declared, "features"),
                description="Questions asked again with everything later than their time removed get the "
                "same features, to the bit.",
            )
        ],
    )
    def features(context: AssetExecutionContext, mlplatform_lake: LakeResource) -> Iterator[Any]:
        keys = keys_of_run(context)
        spine, tables = feature_inputs(declared, mlplatform_lake.lake(), keys[0], keys[-1])
        rows = compute(feature_set, spine, tables).with_columns(spine["partition_key"])
        noted = mlplatform_lake.lake(), declared.name, feature_set, keys
        stored_features.forget(*noted)
        context.add_asset_metadata(of_features(declared), partition_key=keys[-1])
        yield Output(rows, metadata={"feature set": feature_set.id, "features": len(feature_set.names)})
        stored_features.keep(*noted)
        found = leakage.look(declared, rows, tables)
        yield AssetCheckResult(
            check_name="no_leakage",
            passed=not found.different,
            metadata={
                "questions asked again": found.asked,
                "cells compared": found.cells,
                "cells different": len(found.different),
                **({"which": table(pl.DataFrame(found.different))} if found.different else {}),
            },
        )

    return features


def _columns(feature_set: FeatureSet) -> TableSchema:
    """The features as columns, each with its declaration in words."""
    return TableSchema(
        [
            TableColumn(feature.name, type(feature).__name__, description=described(feature))
            for feature in feature_set.features
            if feature.name in feature_set.names
        ]
    )


def feature_inputs(
    declared: Declared, lake: Lake, first: str, last: str
) -> tuple[pl.DataFrame, dict[str, pl.DataFrame]]:
    """The spine of the days `first` … `last`, and of every cleaned table the rows that its features read.

    Which day a row lies in does not matter, only when it was known: so one day computed alone gets what it
    gets within a year.
    """
    feature_set = declared.feature_set
    spine = lake.read(
        declared.table(feature_set.spine.table),
        columns=[*needed_columns(declared, feature_set.spine.table), "partition_key"],
        first=first,
        last=last,
    )
    asked = spine.select(feature_set.spine.as_of.polars())
    begin, end = asked.min().item(), asked.max().item()
    tables = {}
    for name in declared.feature_tables:
        reach = {clock: timedelta(microseconds=us) for clock, us in feature_set.clocks(name).items()}
        known = {clock: (begin - before, end) for clock, before in reach.items()} if begin else None
        columns = needed_columns(declared, name)
        tables[name] = lake.read(declared.table(name), columns=columns, moments=known or None)
    return spine, tables
