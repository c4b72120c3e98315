"""The asset of deployment: the winner becomes the champion that batch and online scoring use."""

import getpass
from datetime import UTC, datetime
from typing import Any

import polars as pl
from dagster import AssetExecutionContext, AssetIn, AssetsDefinition, MaterializeResult, MetadataValue

from mlplatform.errors import ServiceError
from mlplatform.offline import partitions
from mlplatform.offline.assets._shared import IO, key, stage_asset
from mlplatform.offline.assets.evaluation import champion_version
from mlplatform.offline.declared import Declared
from mlplatform.offline.resources import CandidatesResource, ChampionsResource, ScoringService
from mlplatform.stages.deployment.release import Promotion, Release
from mlplatform.stages.preparation.fitted import FittedFeatureSet
from mlplatform.stages.training.candidate import open_model


def release_version(declared: Declared) -> str:
    """What decides a release: the champion."""
    return declared.version("release", champion_version(declared))


def build(declared: Declared) -> list[AssetsDefinition]:
    """`release`, an entry in the champion's history."""

    @stage_asset(
        declared,
        "deployment",
        "release",
        version=release_version(declared),
        kinds={"fastapi"},
        partitions_def=partitions.training_dates(declared),
        ins={"champion": AssetIn(key(declared, "champion"), input_manager_key=IO)},
        description="The winner, after its golden rows have been replayed to the bit, entered in the "
        "append-only history of champions. Scoring services take it up within a second.",
    )
    def release(
        context: AssetExecutionContext,
        champion: pl.DataFrame,
        mlplatform_candidates: CandidatesResource,
        mlplatform_champions: ChampionsResource,
        mlplatform_scoring: ScoringService,
    ) -> MaterializeResult[Any]:
        store = mlplatform_champions.store()
        winners = champion.filter(pl.col("winner"))
        if winners.height:
            digest = winners["digest"][0]
            candidate = mlplatform_candidates.store().get(declared.name, digest)
            open_model(candidate)
            metric = declared.config.champion.metric
            promoted = store.promote(
                Promotion(
                    use_case=declared.name,
                    digest=digest,
                    model=winners["model"][0],
                    feature_set_id=FittedFeatureSet.from_json(candidate.feature_set).id,
                    figures={
                        "threshold": declared.config.threshold,
                        **{part: winners[part][0] for part in (f"validation_{metric}", f"test_{metric}")},
                    },
                    as_of=context.partition_key,
                    released_at=datetime.now(UTC),
                    released_by=f"{getpass.getuser()} (run {context.run_id[:8]})",
                    why=winners["reason"][0],
                )
            )
        else:
            present = store.champion(declared.name)
            if present is None:
                return MaterializeResult(metadata={"release": "none: every candidate was refused"})
            promoted = present
        return MaterializeResult(
            metadata={
                "version": promoted.version,
                "model": promoted.model,
                "digest": promoted.digest[:12],
                "why": promoted.why,
                "scoring service": MetadataValue.url(mlplatform_scoring.url),
                "it serves": _served(mlplatform_scoring, promoted),
            }
        )

    return [release]


def _served(scoring: ScoringService, release: Release) -> str:
    try:
        with scoring.client() as client:
            return client.ready()
    except ServiceError as error:
        return f"nothing: it is not running. It will serve version {release.version}. {error.hint}"
