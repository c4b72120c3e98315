"""Assets of evaluation: every candidate judged on the same rows, and the champion chosen by a rule."""

from typing import Any

import polars as pl
from dagster import (
    AllPartitionMapping,
    AssetDep,
    AssetExecutionContext,
    AssetIn,
    AssetsDefinition,
    MetadataValue,
    Output,
)

from mlplatform.offline import evaluated, figures, partitions
from mlplatform.offline.assets import _champion
from mlplatform.offline.assets._shared import IO, image, key, stage_asset, table
from mlplatform.offline.assets.training import candidate_version
from mlplatform.offline.declared import Declared, canonical
from mlplatform.offline.io_manager import EVOLVE
from mlplatform.offline.resources import CandidatesResource, LakeResource
from mlplatform.stages.evaluation.call import asks_for
from mlplatform.stages.evaluation.metrics import CHIEF
from mlplatform.stages.evaluation.report import Report, overlay

WITH_INTERVALS = "with intervals"
"""Part of every evaluation's version: those made before there were intervals are made again."""


def evaluation_version(declared: Declared, name: str) -> str:
    """What decides an evaluation: the candidate, the evaluators and what they ask for, the slices."""
    config = declared.config
    asked = {parameter for evaluator in config.evaluators for parameter in asks_for(evaluator)}
    threshold = [config.threshold] if "threshold" in asked else []
    task = [canonical(config.output)] if config.task != "classification" else []
    slices = [config.champion.metric, *(canonical(each.model_dump()) for each in config.slices)]
    return declared.version(
        candidate_version(declared, name),
        *config.evaluators,
        WITH_INTERVALS,
        *threshold,
        *task,
        *(slices if config.slices else []),
    )


def champion_version(declared: Declared) -> str:
    """What decides the champion: every evaluation and the rule."""
    evaluations = [evaluation_version(declared, name) for name in declared.config.models]
    return declared.version(*evaluations, canonical(declared.config.champion.model_dump()))


def build(declared: Declared) -> list[AssetsDefinition]:
    """`evaluation_<model>` for every model, and `champion`."""
    evaluated.check_slices(declared)
    evaluations = [_evaluation(declared, name) for name in declared.config.models]
    return [*evaluations, _champion.build(declared, champion_version(declared))]


def _evaluation(declared: Declared, name: str) -> AssetsDefinition:
    @stage_asset(
        declared,
        "evaluation",
        f"evaluation_{name}",
        version=evaluation_version(declared, name),
        kinds={"scikitlearn"},
        partitions_def=partitions.training_dates(declared),
        ins={"candidate": AssetIn(key(declared, f"candidate_{name}"), input_manager_key=IO)},
        deps=[
            key(declared, "split"),
            AssetDep(key(declared, "features"), partition_mapping=AllPartitionMapping()),
        ],
        metadata={EVOLVE: True},
        description=f"Predictions of `{name}` against the truth: the validation rows decide, the test rows "
        "are for the report only.",
    )
    def evaluation(
        context: AssetExecutionContext,
        candidate: pl.DataFrame,
        mlplatform_lake: LakeResource,
        mlplatform_candidates: CandidatesResource,
    ) -> Output[Any]:
        digest, as_of = candidate["digest"][0], context.partition_key
        lake, store = mlplatform_lake.lake(), mlplatform_candidates.store()
        reports = {
            part: evaluated.evaluate(declared, lake, store, digest, as_of, part) for part in evaluated.JUDGED
        }
        frame = evaluated.to_frame(as_of, name, digest, reports)
        metadata = {**_tables(frame), **_headline(declared, reports["test"]), **_pictures(reports)}
        return Output(frame, metadata=metadata)

    return evaluation


def _pictures(reports: dict[str, Report]) -> dict[str, MetadataValue]:
    """Every kind of picture, the parts laid over each other."""
    kinds = dict.fromkeys(kind for report in reports.values() for kind in report.pictures)
    drawn = {
        kind: {part: report.pictures[kind] for part, report in reports.items() if kind in report.pictures}
        for kind in kinds
    }
    return {kind: image(overlay(pictures)) for kind, pictures in drawn.items()}


def _tables(frame: pl.DataFrame) -> dict[str, MetadataValue]:
    """Figures of the whole, those of slices in a table of their own, and how many rows were judged."""
    rows = {f"rows of {part}": MetadataValue.int(count) for part, count in figures.counted(frame).items()}
    slices = figures.of_slices(frame)
    apart = {"slices": table(slices)} if slices.height else {}
    return {"figures": table(figures.of_the_whole(frame)), **apart, **rows}


def _headline(declared: Declared, report: Report) -> dict[str, MetadataValue]:
    """The chief figures on the test rows as numbers, which the Dagster UI plots over time."""
    chief = [name for name in CHIEF[declared.config.task] if name in report.figures]
    return {f"test {name}": MetadataValue.float(round(report.figures[name], 4)) for name in chief}
