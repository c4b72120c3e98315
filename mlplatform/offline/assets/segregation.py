"""The asset of segregation: which question trains, which validates, which tests, as of a date."""

from collections.abc import Mapping
from typing import Any

import polars as pl
from dagster import AllPartitionMapping, AssetDep, AssetExecutionContext, AssetsDefinition, Output

from mlplatform.errors import NotFound
from mlplatform.offline import partitions
from mlplatform.offline.assets._shared import key, lines, stage_asset, table
from mlplatform.offline.assets.preparation import features_version
from mlplatform.offline.declared import Declared, canonical
from mlplatform.offline.plugged import split_options
from mlplatform.offline.resources import LakeResource
from mlplatform.stages.segregation.segregated import Segregated, divide
from mlplatform.stores.lake import Lake, Table

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
        as_of = context.partition_key
        segregated = divided(
            declared, mlplatform_lake.lake(), config.split.strategy, split_options(declared, as_of)
        )
        assigned = segregated.rows().select(
            *spine.key, day="partition_key", label=pl.col(config.label.column), part="part"
        )
        parts = assigned.group_by("part").agg(
            rows=pl.len(), first_day=pl.min("day"), last_day=pl.max("day"), label_rate=pl.mean("label")
        )
        for warning in segregated.warnings:
            context.log.warning(warning)
        return Output(
            assigned.with_columns(partition_key=pl.lit(as_of), split_id=pl.lit(segregated.id)),
            metadata={
                "split id": segregated.id,
                "parts": table(parts.sort("first_day")),
                "rows without a label": segregated.split.unlabelled,
                "warnings": lines(segregated.warnings),
            },
        )

    return [split]


def divided(declared: Declared, lake: Lake, strategy: str, options: Mapping[str, object]) -> Segregated:
    """The stored questions of a use case, divided; what training, evaluation and `mlplatform split` see.

    Raises
    ------
    NotFound
        if there are no questions yet.
    ConfigurationError
        as `divide`.
    """
    spine, label = declared.feature_set.spine, declared.config.label.column
    stored = declared.table(spine.table)
    if not lake.exists(stored):
        raise NotFound(
            f"there is no table {stored} yet, whose rows are to be divided.",
            hint=f"Fill it: mlplatform run {declared.name}.",
        )
    columns = [*spine.key, label, "partition_key", *_named(lake, stored, options)]
    rows = lake.read(stored, columns=list(dict.fromkeys(columns)))
    return divide(rows, strategy=strategy, options=options, keys=spine.key, label=label)


def _named(lake: Lake, stored: Table, options: Mapping[str, object]) -> list[str]:
    """The columns that options name: a strategy may read them."""
    columns = lake.sql(f"SELECT * FROM {stored} LIMIT 0").columns
    return [value for value in options.values() if isinstance(value, str) and value in columns]
