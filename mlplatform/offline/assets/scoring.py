"""The asset of scoring: the champion's scores of every question of a day."""

from collections.abc import Iterator
from typing import Any

import polars as pl
from dagster import (
    AllPartitionMapping,
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetDep,
    AssetExecutionContext,
    AssetIn,
    AssetsDefinition,
    Output,
)

from mlplatform.errors import NotFound
from mlplatform.offline import own_features, partitions
from mlplatform.offline.assets._shared import IO, key, stage_asset, table
from mlplatform.offline.assets.deployment import release_version
from mlplatform.offline.declared import Declared
from mlplatform.offline.resources import CandidatesResource, ChampionsResource, LakeResource
from mlplatform.offline.served_parity import Found, look
from mlplatform.stages.preparation.fitted import FittedFeatureSet
from mlplatform.stages.scoring.score import answered
from mlplatform.stages.training.candidate import open_model


def scores_version(declared: Declared) -> str:
    """What decides scores: the release."""
    return declared.version("scores", release_version(declared), declared.config.threshold)


def build(declared: Declared) -> list[AssetsDefinition]:
    """`scores`, a row per question with the model and version that gave it."""
    spine, threshold = declared.feature_set.spine, declared.config.threshold

    @stage_asset(
        declared,
        "scoring",
        "scores",
        version=scores_version(declared),
        kinds={"lightgbm", "duckdb"},
        partitions_def=partitions.days_to_score(declared),
        ins={"features": AssetIn(key(declared, "features"), input_manager_key=IO)},
        deps=[AssetDep(key(declared, "release"), partition_mapping=AllPartitionMapping())],
        description=f"{_said(declared)} of every question of the day, by the champion; the same bits the "
        "online service answers.",
        check_specs=[
            AssetCheckSpec(
                "served_parity",
                asset=key(declared, "scores"),
                description="What the online service saw and answered for the days of the run is what batch "
                "computes now, to the bit.",
            )
        ],
    )
    def scores(
        context: AssetExecutionContext,
        features: pl.DataFrame,
        mlplatform_candidates: CandidatesResource,
        mlplatform_champions: ChampionsResource,
        mlplatform_lake: LakeResource,
    ) -> Iterator[Any]:
        release = mlplatform_champions.store().champion(declared.name)
        if release is None:
            raise NotFound(
                f"{declared.name!r} has no champion: none was trained, or every candidate was refused.",
                hint=f'Ask why: mlplatform sql "SELECT model, reason FROM {declared.name}.champion".',
            )
        candidate = mlplatform_candidates.store().get(declared.name, release.digest)
        features = features.sort("partition_key", *spine.key)  # the order in which equal ranks fall
        fitted, lake = FittedFeatureSet.from_json(candidate.feature_set), mlplatform_lake.lake()
        days = features.with_columns(day="partition_key")
        matrix = fitted.matrix(own_features.of_rows(declared, lake, fitted.feature_set, days))
        score = open_model(candidate).predict(matrix)
        asked = features.select(*spine.key, "as_of", "partition_key")
        rows = answered(asked, candidate.output, score, threshold).with_columns(
            model=pl.lit(release.model),
            version=pl.lit(release.version, pl.Int64),
            digest=pl.lit(release.digest),
            feature_set=pl.lit(release.feature_set_id),
        )
        yield Output(
            rows,
            metadata={
                "model": release.model,
                "version": release.version,
                "mean score": round(float(score.mean()), 4) if len(score) else 0.0,
            },
        )
        begin, end = rows.select(pl.col("as_of").min(), end=pl.col("as_of").max()).row(0)
        found = look(declared, lake, mlplatform_candidates.store(), begin, end)
        yield AssetCheckResult(check_name="served_parity", **_verdict(found))

    return [scores]


def _said(declared: Declared) -> str:
    target = declared.config.target
    said = {
        "probability": f"Probability of `{target}`",
        "number": f"Predicted `{target}`",
        "cluster": "Cluster",
        "ranked_list": f"Rank by predicted `{target}` in its list",
        "forecast": f"Forecast of `{target}`",
    }
    return said[declared.config.output.kind]


def _verdict(found: Found) -> dict[str, Any]:
    """A warning only: the service may have answered before the rows arrived that the lake has now."""
    said = {} if found.answers else {"note": "Nothing was served for these days."}
    return {
        "passed": found.equal,
        "severity": AssetCheckSeverity.WARN,
        "metadata": {
            "answers compared": found.answers,
            "cells compared": found.cells,
            "cells different": found.cells_different,
            "scores different": found.scores_different,
            "answers without candidate": found.without_candidate,
            **said,
            **({"which": table(pl.DataFrame(found.different))} if found.different else {}),
        },
    }
