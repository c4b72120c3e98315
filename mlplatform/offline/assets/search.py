"""The asset of a search: a model's parameters tried on folds of the training rows, before it is trained.

Built only for models that declare `search`. It must not train the candidate: `training.py` does, on all rows.
"""

from typing import Any

import polars as pl
from dagster import (
    AllPartitionMapping,
    AssetDep,
    AssetExecutionContext,
    AssetsDefinition,
    MetadataValue,
    Output,
)

from mlplatform.offline import partitions
from mlplatform.offline.assets._shared import image, key, lines, stage_asset, table
from mlplatform.offline.assets.selection import ranking_version
from mlplatform.offline.config import Search
from mlplatform.offline.declared import Declared, canonical
from mlplatform.offline.resources import LakeResource
from mlplatform.offline.search_declared import metric_of
from mlplatform.offline.searched import search_model, to_frame
from mlplatform.stages.evaluation.search import pictures
from mlplatform.stages.evaluation.search.found import Found, Trial, told
from mlplatform.stages.evaluation.search.space import edges

SHOWN = 10
"""Trials in the table of the best."""


def search_versions(declared: Declared, name: str) -> list[str]:
    """What decides a model's search as one version; none if it declares no search."""
    model = declared.config.models[name]
    if model.search is None:
        return []
    decided = (ranking_version(declared), name, canonical(model.model_dump()), metric_of(declared, name))
    return [declared.version("search", *decided)]


def build(declared: Declared) -> list[AssetsDefinition]:
    """`search_<model>`, a row per trial, for every model that declares a search."""
    declares = [(name, model.search) for name, model in declared.config.models.items()]
    return [_search(declared, name, search) for name, search in declares if search is not None]


def _search(declared: Declared, name: str, search: Search) -> AssetsDefinition:
    @stage_asset(
        declared,
        "training",
        f"search_{name}",
        version=search_versions(declared, name)[0],
        kinds={"optuna"},
        partitions_def=partitions.training_dates(declared),
        deps=[
            key(declared, "split"),
            *([key(declared, "ranking")] if declared.config.selection else []),
            AssetDep(key(declared, "features"), partition_mapping=AllPartitionMapping()),
        ],
        description=f"{search.trials} trials of the parameters of `{name}` ({', '.join(search.space)}) on "
        f"{search.folds} rolling folds within the training rows; the candidate is trained with the best.",
    )
    def searched(context: AssetExecutionContext, mlplatform_lake: LakeResource) -> Output[Any]:
        as_of, metric = context.partition_key, metric_of(declared, name)

        def heard(trial: Trial) -> None:
            context.log.info(told(trial, metric, search.folds))

        found = search_model(declared, mlplatform_lake.lake(), name, as_of, heard=heard)
        at_edges = edges(search.dimensions, found.best.params)
        for sentence in at_edges:
            context.log.warning(sentence)
        return Output(to_frame(as_of, name, found), metadata=_metadata(found, at_edges))

    return searched


def _metadata(found: Found, at_edges: list[str]) -> dict[str, Any]:
    declared = found.declared.value
    pictured = {"importance": image(pictures.importance(found))} if found.importance else {}
    return {
        "best parameters": MetadataValue.json(found.parameters),
        found.metric: float(found.best.value or 0.0),
        "with the declared parameters": found.declared.reason if declared is None else declared,
        "best trial": found.best.number,
        "complete": found.count("complete"),
        "given up": found.count("pruned"),
        "failed": found.count("failed"),
        "history": image(pictures.history(found)),
        **pictured,
        "best trials": table(_best(found)),
        "at the edge": lines(at_edges),
    }


def _best(found: Found) -> pl.DataFrame:
    """The best trials, a column per parameter; that of the declared parameters has none."""
    shown = [
        {"trial": trial.number, found.metric: trial.value, **trial.params, "seconds": trial.seconds}
        for trial in found.ranked[:SHOWN]
    ]
    return pl.from_dicts(shown, infer_schema_length=None, strict=False)
