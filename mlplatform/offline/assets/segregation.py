"""The asset of segregation: which question trains, which validates, which tests, as of a date."""

from typing import Any

import polars as pl
from dagster import AllPartitionMapping, AssetDep, AssetExecutionContext, AssetsDefinition, Output

from mlplatform.offline import partitions
from mlplatform.offline.assets._shared import key, lines, stage_asset, table
from mlplatform.offline.assets.preparation import features_version
from mlplatform.offline.declared import Declared, canonical
from mlplatform.offline.division import of_declaration
from mlplatform.offline.io_manager import EVOLVE
from mlplatform.offline.plugged import split_options
from mlplatform.offline.resources import LakeResource
from mlplatform.stores import division

PLACED = "with places"
"""Part of the version of shuffled splits: those made before rows kept their places are made again."""


def split_version(declared: Declared) -> str:
    """What decides a split: the rows, the label, the strategy and its options."""
    config = declared.config
    return declared.version(
        features_version(declared),
        config.target,
        config.split.strategy,
        canonical(config.split.options),
        *([PLACED] if "shuffle_within" in config.split.options else []),
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
        metadata={EVOLVE: True},
        description=f"Training, validation and test rows by `{config.split.strategy}`, as of a date; never "
        "an overlap. Rows without a label take no part.",
    )
    def split(context: AssetExecutionContext, mlplatform_lake: LakeResource) -> Output[Any]:
        as_of, lake, told = context.partition_key, mlplatform_lake.lake(), of_declaration(declared)
        division.keep(lake, told)
        segregated = division.divided(told, lake, told.strategy, split_options(declared, as_of))
        label = pl.lit(None, pl.Float64) if config.target is None else pl.col(config.target)
        assigned = segregated.rows().select(*spine.key, day="partition_key", label=label, part="part")
        # A table has no order of its own: where rows are shuffled, each keeps its place.
        shuffled = segregated.split.order is not None
        place = pl.int_range(pl.len(), dtype=pl.Int64) if shuffled else pl.lit(None, pl.Int64)
        parts = assigned.group_by("part").agg(
            rows=pl.len(), first_day=pl.min("day"), last_day=pl.max("day"), label_rate=pl.mean("label")
        )
        for warning in segregated.warnings:
            context.log.warning(warning)
        return Output(
            assigned.with_columns(partition_key=pl.lit(as_of), split_id=pl.lit(segregated.id), place=place),
            metadata={
                "split id": segregated.id,
                "parts": table(parts.sort("first_day")),
                "rows without a label": segregated.split.unlabelled,
                "warnings": lines(segregated.warnings),
            },
        )

    return [split]
