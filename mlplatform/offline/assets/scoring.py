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
    AssetsDefinition,
    MaterializeResult,
)

from mlplatform.errors import NotFound
from mlplatform.offline import partitions
from mlplatform.offline.assets._shared import key, keys_of_run, stage_asset, table
from mlplatform.offline.assets.deployment import release_version
from mlplatform.offline.column_lineage import of_scores
from mlplatform.offline.declared import Declared
from mlplatform.offline.io_manager import written
from mlplatform.offline.resources import CandidatesResource, ChampionsResource, LakeResource
from mlplatform.offline.served_parity import Found, look
from mlplatform.stores.batch_scores import SCORES, Committed, Scorer, score_days


def scores_version(declared: Declared) -> str:
    """What decides scores: the release."""
    return declared.version("scores", release_version(declared), declared.config.threshold)


def build(declared: Declared) -> list[AssetsDefinition]:
    """`scores`, a row per question with the model and version that gave it."""

    @stage_asset(
        declared,
        "scoring",
        "scores",
        version=scores_version(declared),
        kinds={"lightgbm", "duckdb"},
        partitions_def=partitions.days_to_score(declared),
        deps=[
            AssetDep(key(declared, "features")),
            AssetDep(key(declared, "release"), partition_mapping=AllPartitionMapping()),
        ],
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
        lake, candidates, days = mlplatform_lake.lake(), mlplatform_candidates.store(), keys_of_run(context)
        commits: list[Committed] = []
        scorer = Scorer.open(release, candidates, lake)
        score_days(scorer, lake, days, done=commits.append)
        rows = sum(sum(each.rows.values()) for each in commits)
        columns = lake.read(declared.table(SCORES), partitions=[]).columns
        lineage = of_scores(declared, scorer.questions.fitted.feature_set, columns)
        context.add_asset_metadata(lineage, partition_key=days[-1])
        yield MaterializeResult(
            metadata={
                "model": release.model,
                "version": release.version,
                "mean score": round(sum(each.score_sum for each in commits) / rows, 4),
                **written(lake, declared.table(SCORES), days, rows),
            },
        )
        begin, end = min(each.begin for each in commits), max(each.end for each in commits)
        found = look(declared, lake, candidates, begin, end)
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
