"""The asset of segregation: which question trains, which validates, which tests, as of a date."""

from typing import Any

import polars as pl
from dagster import AllPartitionMapping, AssetDep, AssetExecutionContext, AssetsDefinition, Output

from mlplatform.offline import partitions
from mlplatform.offline.assets._shared import key, lines, stage_asset, table
from mlplatform.offline.assets.preparation import features_version
from mlplatform.offline.declared import Declared, canonical
from mlplatform.offline.plugged import split_options
from mlplatform.offline.resources import LakeResource
from mlplatform.stages.segregation.dataset import segregate

LABEL = "label"


def split_version(declared: Declared) -> str:
    """What decides a split: the rows, the label, the strategy and its options."""
    config = declared.config
    return declared.version(
        features_version(declared),
        config.label.column,
        config.split.strategy,
        canonical(config.split.options),
    )


def build(declared: Declared) -> list[AssetsDefinition]:
    """`split`, a row per labelled question with its part and its label."""
    config, spine = declared.config, declared.feature_set.spine

    @stage_asset(
        declared,
        "segregation",
        "split",
        version=split_version(declared),
        kinds={"polars"},
        partitions_def=partitions.training_dates(declared),
        deps=[
            AssetDep(key(declared, name), partition_mapping=AllPartitionMapping())
            for name in ("features", spine.table)
        ],
        description=f"Training, validation and test rows by `{config.split.strategy}`, as of a date; never "
        "an overlap. Rows without a label take no part.",
    )
    def split(context: AssetExecutionContext, mlplatform_lake: LakeResource) -> Output[Any]:
        columns = list(dict.fromkeys([*spine.key, config.label.column, "partition_key"]))
        rows = mlplatform_lake.lake().read(declared.table(spine.table), columns=columns)
        result = segregate(
            rows,
            strategy=config.split.strategy,
            options=split_options(declared, context.partition_key),
            keys=spine.key,
            label=config.label.column,
        )
        labelled = rows.select(*spine.key, day="partition_key", label=pl.col(config.label.column))
        assigned = labelled.with_columns(result.parts["part"]).drop_nulls("part")
        parts = assigned.group_by("part").agg(
            rows=pl.len(), first_day=pl.min("day"), last_day=pl.max("day"), label_rate=pl.mean("label")
        )
        for warning in result.warnings:
            context.log.warning(warning)
        return Output(
            assigned.with_columns(partition_key=pl.lit(context.partition_key), split_id=pl.lit(result.id)),
            metadata={
                "split id": result.id,
                "parts": table(parts.sort("first_day")),
                "rows without a label": result.unlabelled,
                "warnings": lines(result.warnings),
            },
        )

    return [split]
