"""The asset `champion`: the verdict of the rule over all evaluations of a date."""

from collections.abc import Iterator
from typing import Any

import msgspec
import polars as pl
from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetIn,
    AssetsDefinition,
    MetadataValue,
    Output,
)

from mlplatform.offline import evaluated, partitions
from mlplatform.offline.assets._shared import IO, key, lines, stage_asset, table
from mlplatform.offline.declared import Declared
from mlplatform.offline.io_manager import EVOLVE
from mlplatform.offline.messages import Winner
from mlplatform.offline.resources import CandidatesResource, ChampionsResource, LakeResource
from mlplatform.stages.evaluation.bootstrap import LEVEL
from mlplatform.stages.evaluation.champion import Verdict, choose
from mlplatform.stages.evaluation.constant import constant
from mlplatform.stages.evaluation.grounds import surely
from mlplatform.stages.evaluation.judged import Candidate
from mlplatform.stages.evaluation.rule import Rule
from mlplatform.stages.preparation.fitted import FittedFeatureSet
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.champions import ChampionStore
from mlplatform.stores.lake import Lake

WINNER = "ready for deployment"
"""Metadata of the asset from which its message is made."""


def build(declared: Declared, version: str) -> AssetsDefinition:
    """`champion`, the winner among the candidates of a date, if there is one."""
    rule, names = declared.config.champion.rule, list(declared.config.models)
    beaten = " and ".join(f"`{name}`" for name in rule.beat)

    @stage_asset(
        declared,
        "evaluation",
        "champion",
        version=version,
        kinds={"python"},
        partitions_def=partitions.training_dates(declared),
        ins={
            f"evaluation_{name}": AssetIn(key(declared, f"evaluation_{name}"), input_manager_key=IO)
            for name in names
        },
        metadata={EVOLVE: True},
        description=f"The best candidate by `{rule.metric}` on the validation rows, if it beats {beaten} and "
        "the present champion; all may be refused.",
        check_specs=[
            AssetCheckSpec(
                f"better_than_{name}",
                asset=key(declared, "champion"),
                description=f"On the test rows, which took no part in the choice, the winner beats `{name}`.",
            )
            for name in rule.beat
            if name in names
        ],
    )
    def champion(
        context: AssetExecutionContext,
        mlplatform_lake: LakeResource,
        mlplatform_candidates: CandidatesResource,
        mlplatform_champions: ChampionsResource,
        **evaluations: pl.DataFrame,
    ) -> Iterator[Any]:
        lake, store = mlplatform_lake.lake(), mlplatform_candidates.store()
        judged = {name: _judged(declared, store, evaluations[f"evaluation_{name}"]) for name in names}
        candidates, baselines = list(judged.values()), baselines_of(rule, judged)
        as_of, champions = context.partition_key, mlplatform_champions.store()
        present = _present(declared, lake, store, champions, as_of, candidates)
        verdict = choose(rule, candidates, baselines, present)
        frame = _frame(rule, as_of, candidates, present or baselines[0], verdict)
        yield Output(
            frame,
            metadata={
                "winner": verdict.winner.model if verdict.winner else "none",
                "why": lines([verdict.reasons[c.digest] for c in candidates]),
                "figures": table(frame.drop("partition_key", "reason", "digest")),
                **_won(declared, store, rule, verdict),
            },
        )
        for baseline in baselines:
            if baseline.model in judged:
                yield _better(rule, verdict.winner or present, baseline)

    return champion


def _won(declared: Declared, store: CandidateStore, rule: Rule, verdict: Verdict) -> dict[str, MetadataValue]:
    """What a message that the winner is ready says of it; empty if there is none."""
    winner = verdict.winner
    if winner is None:
        return {}
    fitted = FittedFeatureSet.from_json(store.get(declared.name, winner.digest).feature_set)
    figures = {"validation": winner.validation, "test": winner.test}
    told = Winner(
        model=winner.model,
        digest=winner.digest,
        feature_set_id=fitted.id,
        why=verdict.reasons[winner.digest],
        figures={f"{part}_{rule.metric}": figures[part][rule.metric] for part in evaluated.JUDGED},
    )
    return {WINNER: MetadataValue.json(msgspec.to_builtins(told))}


def baselines_of(rule: Rule, judged: dict[str, Candidate]) -> list[Candidate]:
    """The models to beat; the constant is none and is judged on the rows of any model."""
    of_rows = next(iter(judged.values()))
    return [judged[name] if name in judged else constant(rule.metric, of_rows) for name in rule.beat]


def _judged(declared: Declared, store: CandidateStore, evaluation: pl.DataFrame) -> Candidate:
    return evaluated.of_frame(evaluation, evaluated.broken(declared, store, evaluation["digest"][0]))


def _frame(
    rule: Rule, as_of: str, candidates: list[Candidate], rival: Candidate, verdict: Verdict
) -> pl.DataFrame:
    """A row per candidate: verdict, reason, deciding figures, and the gain over the champion or baseline."""
    schema = {"rival": pl.String, "gain": pl.Float64, "gain_low": pl.Float64, "gain_high": pl.Float64}
    return pl.DataFrame(
        [
            {
                "partition_key": as_of,
                "model": c.model,
                "digest": c.digest,
                "winner": verdict.winner is not None and c.digest == verdict.winner.digest,
                "reason": verdict.reasons[c.digest],
                f"validation_{rule.metric}": c.validation[rule.metric],
                f"test_{rule.metric}": c.test[rule.metric],
                **_gain(rule, c, rival),
            }
            for c in candidates
        ],
        schema_overrides=schema,
    )


def _gain(rule: Rule, candidate: Candidate, rival: Candidate) -> dict[str, Any]:
    ends = surely(rule, candidate, rival, rule.confidence or LEVEL)
    return {
        "rival": rival.model,
        "gain": rule.gain(candidate.validation[rule.metric], rival.validation[rule.metric]),
        "gain_low": ends.low if ends else None,
        "gain_high": ends.high if ends else None,
    }


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
    reports = {
        part: evaluated.evaluate(declared, lake, store, release.digest, as_of, part)
        for part in evaluated.JUDGED
    }
    return evaluated.of_reports(release.digest, release.model, reports)


def _better(rule: Rule, champion: Candidate | None, baseline: Candidate) -> AssetCheckResult:
    name = f"better_than_{baseline.model}"
    if champion is None:
        return AssetCheckResult(check_name=name, passed=False, metadata={"why": "there is no champion"})
    mine, theirs = champion.test[rule.metric], baseline.test[rule.metric]
    return AssetCheckResult(
        check_name=name,
        passed=rule.gain(mine, over=theirs) > 0,
        metadata={
            "champion": champion.model,
            f"champion {rule.metric}": mine,
            f"{baseline.model} {rule.metric}": theirs,
            "better is": "higher" if rule.figure.higher_is_better else "lower",
        },
    )
