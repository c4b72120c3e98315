"""Assets of training: one candidate per declared model, each on its own."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
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

from mlplatform import plugins
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import NotFound
from mlplatform.offline import partitions, provenance, rows
from mlplatform.offline.assets._shared import key, stage_asset
from mlplatform.offline.assets.search import search_versions
from mlplatform.offline.assets.selection import ranking_version, selected
from mlplatform.offline.config import Model
from mlplatform.offline.declared import Declared, canonical
from mlplatform.offline.distributed.train import ParallelEstimator
from mlplatform.offline.kinds import kind_of
from mlplatform.offline.resources import CandidatesResource, CheckpointsResource, LakeResource
from mlplatform.offline.searched import searched
from mlplatform.stages.preparation.fitted import fit
from mlplatform.stages.training import checkpoints, models
from mlplatform.stages.training.candidate import CLASSIFICATION, Metadata, assemble, versions
from mlplatform.stages.training.contract import Estimator
from mlplatform.stores.lake import Lake


def candidate_version(declared: Declared, name: str) -> str:
    """What decides a candidate: its model, the split, the selection of features, the search, the output."""
    model, output = declared.config.models[name], declared.config.output
    # How many workers train it decides the time; whether Dask does, decides how sums are taken.
    told = canonical(
        model.model_dump(exclude={"search", "workers"} | (set() if model.parallel else {"parallel"}))
    )
    task = [] if output == CLASSIFICATION else [canonical(output)]
    return declared.version(ranking_version(declared), name, told, *search_versions(declared, name), *task)


def build(declared: Declared) -> list[AssetsDefinition]:
    """`candidate_<model>` for every declared model."""
    return [_candidate(declared, name, model) for name, model in declared.config.models.items()]


def _candidate(declared: Declared, name: str, model: Model) -> AssetsDefinition:
    @stage_asset(
        declared,
        "training",
        f"candidate_{name}",
        version=candidate_version(declared, name),
        kinds={kind_of(model.type)},
        partitions_def=partitions.training_dates(declared),
        deps=[
            key(declared, "split"),
            *([key(declared, "ranking")] if declared.config.selection else []),
            *([key(declared, f"search_{name}")] if model.search else []),
            AssetDep(key(declared, "features"), partition_mapping=AllPartitionMapping()),
        ],
        description=f"`{model.type}` trained on the days before the date, kept as a content-addressed "
        "folder: model, fitted feature set, golden rows with their scores, card.",
    )
    def candidate(
        context: AssetExecutionContext,
        mlplatform_lake: LakeResource,
        mlplatform_candidates: CandidatesResource,
        mlplatform_checkpoints: CheckpointsResource,
    ) -> Output[Any]:
        lake, as_of = mlplatform_lake.lake(), context.partition_key
        training = rows.of_part(declared, lake, as_of, "train")
        fitted = fit(selected(declared, lake, as_of), training, training["label"])
        data = rows.training_set(declared, fitted, training)
        params = searched(declared, lake, name, as_of)
        unfinished = mlplatform_checkpoints.of(declared.name, name, as_of)
        started = time.perf_counter()
        trained = checkpoints.fit(_estimator(model, params), data, unfinished)
        days = training["day"].sort()
        window = (days[0], days[-1])
        metadata = Metadata(
            rows=len(data.y),
            label_rate=float(data.y.mean()),
            task=data.task,
            window=window,
            split_id=training["split_id"][0],
            batch_ids=_batches(declared, lake, *window),
            versions=versions(),
            timings={"fit": time.perf_counter() - started},
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            retries=context.retry_number,
            resumed_at=unfinished.resumed_at,
            **_origin(declared, model),
        )
        told = (fitted.to_json(), metadata, declared.config.output)
        made = assemble(declared.name, model.type, params, trained, data, *told)
        digest = mlplatform_candidates.store().put(made)
        unfinished.clear()
        folder = f"{mlplatform_candidates.folder}/{declared.name}/{digest}"
        return Output(
            _row(as_of, name, digest, fitted.id, metadata),
            metadata=_shown(digest, fitted.id, folder, metadata),
        )

    return candidate


def _estimator(model: Model, params: Mapping[str, object]) -> Estimator:
    if model.parallel:
        return ParallelEstimator(model.type, params, model.parallel, model.workers, Settings.load())
    made: Estimator = plugins.find(models, model.type).build(**params)
    return made


def _row(as_of: str, name: str, digest: str, feature_set: str, metadata: Metadata) -> pl.DataFrame:
    """The candidate's row in the lake; the rest is in its folder."""
    return pl.DataFrame(
        {
            "partition_key": [as_of],
            "model": [name],
            "digest": [digest],
            "feature_set": [feature_set],
            "split_id": [metadata.split_id],
            "rows": [metadata.rows],
            "label_rate": [metadata.label_rate],
            "fit_seconds": [metadata.timings["fit"]],
        }
    )


def _shown(digest: str, feature_set: str, folder: str, metadata: Metadata) -> dict[str, Any]:
    return {
        "digest": digest[:12],
        "feature set": feature_set,
        "training rows": metadata.rows,
        "label rate": round(metadata.label_rate, 4),
        "seconds": round(metadata.timings["fit"], 1),
        "folder": MetadataValue.path(folder),
        "commit": str(provenance.Code(metadata.commit, metadata.dirty)),
        "environment": MetadataValue.json(metadata.environment),
        "versions": MetadataValue.json(metadata.versions),
        "configuration": MetadataValue.json(metadata.configuration),
        "retries": metadata.retries,
        "continued after": metadata.resumed_at,
    }


def _origin(declared: Declared, model: Model) -> dict[str, Any]:
    """Fields of the metadata that tell with what a candidate was made."""
    code = provenance.code_of(declared.folder)
    return {
        "environment": provenance.environment(),
        "commit": code.commit,
        "dirty": code.dirty,
        "configuration": {
            "model": model.model_dump(mode="json"),
            "split": declared.config.split.model_dump(mode="json"),
        },
    }


def _batches(declared: Declared, lake: Lake, first: str, last: str) -> tuple[str, ...]:
    """Ids of the raw batches that the training rows came from, if the cleaned table carries them."""
    table = declared.table(declared.feature_set.spine.table)
    try:
        found = lake.read(table, columns=["batch_id"], first=first, last=last)
    except NotFound:
        return ()
    return tuple(found["batch_id"].unique().sort().to_list())
