"""Assets of monitoring after deployment: answers joined with what happened, how versions serve, verdicts."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import polars as pl
from dagster import (
    AssetDep,
    AssetExecutionContext,
    AssetIn,
    AssetsDefinition,
    MaterializeResult,
    MetadataValue,
    Output,
    TimeWindowPartitionMapping,
)

from mlplatform.crosscutting.settings import Settings
from mlplatform.offline import partitions, served_distributions, status_page, verdict_step
from mlplatform.offline.assets._shared import IO, image, key, keys_of_run, lines, stage_asset, table
from mlplatform.offline.declared import Declared, canonical
from mlplatform.offline.deploying import Desk
from mlplatform.offline.io_manager import ALLOW_EMPTY, EVOLVE
from mlplatform.offline.monitored_distributions import distributions
from mlplatform.offline.observed import Where, observed
from mlplatform.offline.resources import CandidatesResource, ChampionsResource, LakeResource
from mlplatform.stages.evaluation.values import Line, Picture
from mlplatform.stages.monitoring import serving
from mlplatform.stores.alerts import AlertStore
from mlplatform.stores.lake import KEY

NAMES = ("observed", "serving_figures", "verdicts")
"""The assets, in their order; the sensor asks for all of them."""
WHO = "monitoring"


def build(declared: Declared, settings: Settings) -> list[AssetsDefinition]:
    """`observed`, `serving_figures` and `verdicts`."""
    return [_observed(declared), _figures(declared), _verdicts(declared, settings)]


def _observed(declared: Declared) -> AssetsDefinition:
    where, told = Where.of(declared), declared.config.monitoring.outcomes
    near = TimeWindowPartitionMapping(
        start_offset=-1, end_offset=1, allow_nonexistent_upstream_partitions=True
    )
    deps = []
    if where is not None:
        daily = where.table in declared.daily
        deps = [AssetDep(key(declared, where.table), partition_mapping=near if daily else None)]

    @stage_asset(
        declared,
        "monitoring",
        "observed",
        version=declared.version("observed", canonical(told.model_dump())),
        kinds={"polars"},
        partitions_def=partitions.observed_days(declared),
        deps=deps,
        metadata={EVOLVE: True, ALLOW_EMPTY: True},
        description="Answers given online to questions of a day, joined with what happened and with what the "
        "version before would have said; made again when an outcome comes or is corrected.",
    )
    def observed_of_days(
        context: AssetExecutionContext,
        mlplatform_lake: LakeResource,
        mlplatform_candidates: CandidatesResource,
        mlplatform_champions: ChampionsResource,
    ) -> Output[Any]:
        deployment = mlplatform_champions.store().deployment(declared.name)
        frame = observed(
            declared,
            mlplatform_lake.lake(),
            mlplatform_candidates.store(),
            deployment,
            keys_of_run(context),
            datetime.now(UTC),
        )
        known = int(frame["outcome"].is_not_null().sum())
        return Output(
            frame,
            metadata={
                "answers": frame.height,
                "outcome known": known,
                "coverage": round(known / frame.height, 4) if frame.height else 0.0,
                "by version": table(_by_version(frame)),
            },
        )

    return observed_of_days


def _figures(declared: Declared) -> AssetsDefinition:
    @stage_asset(
        declared,
        "monitoring",
        "serving_figures",
        version=declared.version("serving_figures"),
        kinds={"polars"},
        partitions_def=partitions.observed_days(declared),
        ins={"observed": AssetIn(key(declared, "observed"), input_manager_key=IO)},
        metadata={EVOLVE: True, ALLOW_EMPTY: True},
        description="Per day and version: times served, fallbacks, lateness, serving times, scores, and how "
        "they compare with what happened. Beside it, of the versions in use, how far served features and "
        "scores lie from those of the training.",
    )
    def serving_figures(
        context: AssetExecutionContext,
        observed: pl.DataFrame,
        mlplatform_lake: LakeResource,
        mlplatform_candidates: CandidatesResource,
        mlplatform_champions: ChampionsResource,
    ) -> Output[Any]:
        frame, lake = serving.figures(observed, KEY), mlplatform_lake.lake()
        deployment = mlplatform_champions.store().deployment(declared.name)
        served_distributions.keep(declared, lake, mlplatform_candidates.store(), deployment)
        told: dict[str, Any] = {
            "days and versions": table(frame),
            "why earlier links did not answer": table(serving.reasons(observed, KEY)),
            **{
                f"version {each['version']}: served features farthest from training": table(
                    pl.DataFrame(each["farthest"], infer_schema_length=None)
                )
                for each in distributions(declared, lake)["features"]
            },
        }
        if frame.height:
            told["scored and observed"] = image(_picture(frame))
        return Output(frame, metadata=told)

    return serving_figures


def _verdicts(declared: Declared, settings: Settings) -> AssetsDefinition:
    @stage_asset(
        declared,
        "monitoring",
        "verdicts",
        version=declared.version("verdicts", canonical(declared.config.monitoring.rollback.model_dump())),
        kinds={"polars"},
        partitions_def=partitions.observed_days(declared),
        deps=[key(declared, "observed")],
        description="Whether the champion is worse than the version before it, on the same questions; if the "
        "declared rule says so, it is rolled back here, and an alert says why.",
    )
    def verdicts(context: AssetExecutionContext, mlplatform_lake: LakeResource) -> MaterializeResult[Any]:
        lake, alerts = mlplatform_lake.lake(), AlertStore(settings.state_url)
        now = datetime.now(UTC)
        try:
            with Desk(declared, settings) as desk:
                checked = verdict_step.check(
                    declared, lake, desk, alerts, now, f"{WHO} (run {context.run_id[:8]})"
                )
        finally:
            alerts.close()
        if checked is None or not checked.rows.height:
            return MaterializeResult(metadata={"verdicts": "none: no champion, or nothing was asked of it"})
        # Appended, whatever else runs: each check has a partition of its own.
        own = f"{now:%Y-%m-%dT%H:%M:%S}-{uuid4().hex[:8]}"
        kept = checked.rows.with_columns(pl.lit(own).alias(KEY))
        lake.write(declared.table(verdict_step.VERDICTS), kept, [own], evolve=True)
        page = status_page.write(declared, settings, now)
        return MaterializeResult(
            metadata={
                "verdicts": lines(checked.rows["sentence"].to_list()),
                "decision": checked.decision.cause,
                "done": checked.action or "nothing",
                "status page": MetadataValue.path(str(page)),
                "status page, while the service runs": MetadataValue.url(
                    f"{settings.scoring_url}/status/{declared.name}"
                ),
            }
        )

    return verdicts


def _by_version(frame: pl.DataFrame) -> pl.DataFrame:
    return (
        frame.group_by("version", "link")
        .agg(answers=pl.len(), known=pl.col("outcome").is_not_null().sum())
        .sort("version", "link")
    )


def _picture(frame: pl.DataFrame) -> Picture:
    """Mean score and mean outcome of each day, of the version that answered most."""
    most = frame.group_by("version").agg(pl.sum("served")).sort("served", "version")["version"][-1]
    days = frame.filter(pl.col("version") == most, pl.col("known") > 0).sort(KEY)
    at = tuple(float(place) for place in range(days.height))
    return Picture(
        title=f"Version {most}: mean score and outcome",
        x_label="day",
        y_label="mean",
        lines=(
            Line("scored", at, tuple(days["scored_mean"].to_list()), markers=True),
            Line("observed", at, tuple(days["observed_mean"].to_list()), markers=True),
        ),
        ticks=tuple((place, day[5:]) for place, day in zip(at, days[KEY], strict=True)),
        key="upper left",
    )
