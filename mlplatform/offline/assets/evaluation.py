"""Assets of evaluation: every candidate judged on the same rows, and the champion chosen by a rule."""

from collections.abc import Iterator
from typing import Any

import polars as pl
from dagster import (
    AllPartitionMapping,
    AssetCheckResult,
    AssetCheckSpec,
    AssetDep,
    AssetExecutionContext,
    AssetIn,
    AssetsDefinition,
    MetadataValue,
    Output,
)

from mlplatform.offline import partitions, rows
from mlplatform.offline.assets._shared import IO, image, key, lines, stage_asset, table
from mlplatform.offline.assets.training import candidate_version
from mlplatform.offline.declared import Declared, canonical
from mlplatform.offline.resources import CandidatesResource, ChampionsResource, LakeResource
from mlplatform.stages.evaluation.champion import HIGHER_IS_BETTER, Candidate, Rule, choose
from mlplatform.stages.evaluation.report import Report, evaluate_all, overlay
from mlplatform.stages.preparation.fitted import FittedFeatureSet
from mlplatform.stages.training.candidate import open_model
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.champions import ChampionStore
from mlplatform.stores.lake import Lake

JUDGED = ("validation", "test")


def evaluation_version(declared: Declared, name: str) -> str:
    """What decides an evaluation: the candidate and the evaluators."""
    return declared.version(candidate_version(declared, name), *declared.config.evaluators)


def champion_version(declared: Declared) -> str:
    """What decides the champion: every evaluation and the rule."""
    evaluations = [evaluation_version(declared, name) for name in declared.config.models]
    return declared.version(*evaluations, canonical(declared.config.champion.model_dump()))


def build(declared: Declared) -> list[AssetsDefinition]:
    """`evaluation_<model>` for every model, and `champion`."""
    return [*(_evaluation(declared, name) for name in declared.config.models), _champion(declared)]


def evaluate(
    declared: Declared, lake: Lake, store: CandidateStore, digest: str, as_of: str, part: str
) -> Report:
    """The report of a stored candidate on one part of a split."""
    candidate = store.get(declared.name, digest)
    judged = rows.of_part(declared, lake, as_of, part)
    matrix = FittedFeatureSet.from_json(candidate.feature_set).matrix(judged)
    return evaluate_all(
        declared.config.evaluators, rows.labels(judged), open_model(candidate).predict(matrix)
    )


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
        reports = {part: evaluate(declared, lake, store, digest, as_of, part) for part in JUDGED}
        frame = pl.DataFrame(
            [
                {
                    "partition_key": as_of,
                    "model": name,
                    "digest": digest,
                    "part": part,
                    "figure": f,
                    "value": v,
                }
                for part, report in reports.items()
                for f, v in report.figures.items()
            ]
        )
        pictures = {
            kind: image(overlay({part: report.pictures[kind] for part, report in reports.items()}))
            for kind in reports["test"].pictures
        }
        figures = frame.pivot("part", index="figure", values="value")
        return Output(frame, metadata={"figures": table(figures), **_headline(reports["test"]), **pictures})

    return evaluation


def _headline(report: Report) -> dict[str, MetadataValue]:
    """The chief figures on the test rows as numbers, which the Dagster UI plots over time."""
    chief = [name for name in ("roc_auc", "log_loss", "brier", "ece") if name in report.figures]
    return {f"test {name}": MetadataValue.float(round(report.figures[name], 4)) for name in chief}


def _champion(declared: Declared) -> AssetsDefinition:
    config = declared.config.champion
    rule = Rule(
        metric=config.metric,
        minimum_gain=config.minimum_gain,
        beat=config.beat,
        highest_plausible={str(name): value for name, value in config.highest_plausible.items()},
    )
    names = list(declared.config.models)

    @stage_asset(
        declared,
        "evaluation",
        "champion",
        version=champion_version(declared),
        kinds={"python"},
        partitions_def=partitions.training_dates(declared),
        ins={
            f"evaluation_{name}": AssetIn(key(declared, f"evaluation_{name}"), input_manager_key=IO)
            for name in names
        },
        description=f"The best candidate by `{rule.metric}` on the validation rows, if it beats "
        f"`{rule.beat}` and the present champion; all may be refused.",
        check_specs=[
            AssetCheckSpec(
                f"better_than_{rule.beat}",
                asset=key(declared, "champion"),
                description="On the test rows, which took no part in the choice, the winner beats "
                f"`{rule.beat}`.",
            )
        ],
    )
    def champion(
        context: AssetExecutionContext,
        mlplatform_lake: LakeResource,
        mlplatform_candidates: CandidatesResource,
        mlplatform_champions: ChampionsResource,
        **evaluations: pl.DataFrame,
    ) -> Iterator[Any]:
        candidates = {name: _judged(evaluations[f"evaluation_{name}"]) for name in names}
        baseline = candidates[rule.beat]
        present = _present(
            declared,
            mlplatform_lake.lake(),
            mlplatform_candidates.store(),
            mlplatform_champions.store(),
            context.partition_key,
            list(candidates.values()),
        )
        verdict = choose(rule, list(candidates.values()), baseline.validation, present)
        winner = verdict.winner
        frame = pl.DataFrame(
            [
                {
                    "partition_key": context.partition_key,
                    "model": c.model,
                    "digest": c.digest,
                    "winner": winner is not None and c.digest == winner.digest,
                    "reason": verdict.reasons[c.digest],
                    f"validation_{rule.metric}": c.validation[rule.metric],
                    f"test_{rule.metric}": c.test[rule.metric],
                }
                for c in candidates.values()
            ]
        )
        yield Output(
            frame,
            metadata={
                "winner": winner.model if winner else "none",
                "why": lines([verdict.reasons[c.digest] for c in candidates.values()]),
                "figures": table(frame.drop("partition_key", "reason", "digest")),
            },
        )
        yield _better(rule, winner or present, baseline)

    return champion


def _judged(evaluation: pl.DataFrame) -> Candidate:
    """The candidate with its figures, from the table an evaluation writes."""
    figures: dict[str, dict[str, float]] = {part: {} for part in JUDGED}
    for part, figure, value in evaluation.select("part", "figure", "value").iter_rows():
        figures[part][figure] = value
    return Candidate(evaluation["digest"][0], evaluation["model"][0], figures["validation"], figures["test"])


def _present(
    declared: Declared,
    lake: Lake,
    store: CandidateStore,
    champions: ChampionStore,
    as_of: str,
    candidates: list[Candidate],
) -> Candidate | None:
    """The present champion with its figures on the same rows, or None before the first release."""
    release = champions.champion(declared.name)
    if release is None:
        return None
    for candidate in candidates:
        if candidate.digest == release.digest:
            return candidate
    figures = {part: evaluate(declared, lake, store, release.digest, as_of, part).figures for part in JUDGED}
    return Candidate(release.digest, release.model, figures["validation"], figures["test"])


def _better(rule: Rule, champion: Candidate | None, baseline: Candidate) -> AssetCheckResult:
    name = f"better_than_{rule.beat}"
    if champion is None:
        return AssetCheckResult(check_name=name, passed=False, metadata={"why": "there is no champion"})
    mine, theirs = champion.test[rule.metric], baseline.test[rule.metric]
    return AssetCheckResult(
        check_name=name,
        passed=rule.gain(mine, over=theirs) > 0,
        metadata={
            "champion": champion.model,
            f"champion {rule.metric}": mine,
            f"{rule.beat} {rule.metric}": theirs,
            "better is": "higher" if HIGHER_IS_BETTER[rule.metric] else "lower",
        },
    )
