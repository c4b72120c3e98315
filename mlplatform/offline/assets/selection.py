"""The asset of selection, the last step of preparation: every feature's rank, by the training rows alone.

Built only where `selection` is declared; without it the models get every feature.
"""

from typing import Any

import polars as pl
from dagster import AllPartitionMapping, AssetDep, AssetExecutionContext, AssetsDefinition, Output

from mlplatform.offline import partitions, rows
from mlplatform.offline.assets._shared import image, key, stage_asset, table
from mlplatform.offline.assets.segregation import split_version
from mlplatform.offline.config import Selection
from mlplatform.offline.declared import Declared, canonical
from mlplatform.offline.resources import LakeResource
from mlplatform.stages.evaluation.values import Bar, Picture
from mlplatform.stages.preparation.declarations import FeatureSet
from mlplatform.stages.preparation.fitted import fit
from mlplatform.stages.preparation.selection import select
from mlplatform.stores.lake import Lake

SHOWN = 30
"""Bars of the picture."""


def ranking_version(declared: Declared) -> str:
    """What decides the features that models get: the split, and the selection if one is declared."""
    chosen = declared.config.selection
    split = split_version(declared)
    return split if chosen is None else declared.version("ranking", split, canonical(chosen.model_dump()))


def selected(declared: Declared, lake: Lake, as_of: str) -> FeatureSet:
    """The feature set the models of a date are trained on; NotFound if it is yet to be ranked."""
    if declared.config.selection is None:
        return declared.feature_set
    ranking = lake.read(declared.table("ranking"), partitions=[as_of])
    return declared.feature_set.only(ranking.filter("selected")["feature"])


def build(declared: Declared) -> list[AssetsDefinition]:
    """`ranking`, a row per feature, if a selection is declared."""
    chosen = declared.config.selection
    return [] if chosen is None else [_ranking(declared, chosen)]


def _ranking(declared: Declared, chosen: Selection) -> AssetsDefinition:
    @stage_asset(
        declared,
        "preparation",
        "ranking",
        version=ranking_version(declared),
        kinds={"python"},
        partitions_def=partitions.training_dates(declared),
        deps=[
            key(declared, "split"),
            AssetDep(key(declared, "features"), partition_mapping=AllPartitionMapping()),
        ],
        description=f"Every feature's score and rank by `{chosen.strategy}` on the training rows only, and "
        "which of them the models get.",
    )
    def ranking(context: AssetExecutionContext, mlplatform_lake: LakeResource) -> Output[Any]:
        as_of = context.partition_key
        training = rows.of_part(declared, mlplatform_lake.lake(), as_of, "train")
        fitted = fit(declared.feature_set, training, training["label"])
        found = select(fitted, training, training["label"], strategy=chosen.strategy, options=chosen.options)
        reduced = declared.feature_set.only(found.names)
        frame = found.ranking.with_columns(
            strategy=pl.lit(found.strategy), feature_set=pl.lit(reduced.id), partition_key=pl.lit(as_of)
        )
        return Output(
            frame,
            metadata={
                "best features": image(_picture(found.ranking, found.strategy)),
                "ranking": table(found.ranking),
                "features": found.ranking.height,
                "selected": len(found.names),
                "training rows": training.height,
                "feature set": reduced.id,
            },
        )

    return ranking


def _picture(ranking: pl.DataFrame, strategy: str) -> Picture:
    best = ranking.filter(pl.col("score").is_finite()).head(SHOWN)
    return Picture(
        title=f"{ranking['selected'].sum()} of {ranking.height} features selected by {strategy}",
        x_label="score on the training rows",
        bars=tuple(
            Bar(feature, max(0.0, score), f"{score:.4g}" if kept else f"{score:.4g}, left out")
            for feature, score, kept in best.select("feature", "score", "selected").iter_rows()
        ),
    )
