"""The asset `package`: the winner of a date and its challengers as packages, tested as they read back."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl
from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetIn,
    AssetsDefinition,
    MetadataValue,
    Output,
)

from mlplatform.offline import evaluated, partitions
from mlplatform.offline.assets._champion import baselines_of
from mlplatform.offline.assets._shared import IO, key, stage_asset, table
from mlplatform.offline.assets.evaluation import champion_version
from mlplatform.offline.declared import Declared, canonical
from mlplatform.offline.io_manager import EVOLVE
from mlplatform.offline.packaging import Made, Packager, Packed
from mlplatform.offline.resources import (
    CandidatesResource,
    ChampionsResource,
    LakeResource,
    PackagesResource,
)
from mlplatform.stages.deployment import gate
from mlplatform.stages.deployment.contract import TESTS, WARNS, Finding, faults
from mlplatform.stages.deployment.package import CARD
from mlplatform.stages.deployment.release import Release
from mlplatform.stages.evaluation.judged import Candidate
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.lake import Lake

CHECKS = {**TESTS, **gate.GATES}
"""Names of the checks, each with what it holds the winner to."""


def package_version(declared: Declared) -> str:
    """What decides a package: the champion, its threshold and how it is served."""
    served = canonical(declared.config.serving.policy)
    return declared.version("package", champion_version(declared), declared.config.threshold, served)


def build(declared: Declared) -> AssetsDefinition:
    """`package`, a row per candidate of a date with its package, its faults and what the gate says of it."""
    names = list(declared.config.models)

    @stage_asset(
        declared,
        "deployment",
        "package",
        version=package_version(declared),
        kinds={"mlflow"},
        partitions_def=partitions.training_dates(declared),
        ins={
            "champion": AssetIn(key(declared, "champion"), input_manager_key=IO),
            **{
                f"evaluation_{name}": AssetIn(key(declared, f"evaluation_{name}"), input_manager_key=IO)
                for name in names
            },
        },
        metadata={EVOLVE: True},
        description="The winner and its challengers as packages that any machine can serve: model, features, "
        "golden rows, model card, MLmodel. The winner's is tested as it reads back; one that fails a test or "
        "the quality gate is not released.",
        check_specs=[
            AssetCheckSpec(name, asset=key(declared, "package"), description=said)
            for name, said in CHECKS.items()
        ],
    )
    def package(
        context: AssetExecutionContext,
        champion: pl.DataFrame,
        mlplatform_lake: LakeResource,
        mlplatform_candidates: CandidatesResource,
        mlplatform_champions: ChampionsResource,
        mlplatform_packages: PackagesResource,
        **evaluations: pl.DataFrame,
    ) -> Iterator[Any]:
        lake, candidates = mlplatform_lake.lake(), mlplatform_candidates.store()
        packager = Packager(declared, lake, candidates, mlplatform_packages.store())
        present = mlplatform_champions.store().deployment(declared.name)
        packed, winner = [], None
        for model, digest, won in champion.select("model", "digest", "winner").iter_rows():
            packed.append(packager.pack(Made(model, digest, context.partition_key), present))
            winner = packed[-1] if won else winner
        judged = {digest: frame for frame in evaluations.values() for digest in frame["digest"].head(1)}
        gates: tuple[Finding, ...] = ()
        if winner is not None:
            rival = present.champion if present else None
            gates = _gates(declared, lake, candidates, winner.made, rival, judged)
        findings = () if winner is None else (*winner.findings, *gates)
        frame = _frame(packed, winner, faults(gates))
        yield Output(frame, metadata=_shown(frame, winner))
        for name in CHECKS:
            yield _check(name, {finding.name: finding for finding in findings}.get(name))

    return package


def _gates(
    declared: Declared,
    lake: Lake,
    store: CandidateStore,
    won: Made,
    champion: Release | None,
    judged: Mapping[str, pl.DataFrame],
) -> tuple[Finding, ...]:
    """The quality gate, on the test rows of the date."""
    rule = declared.config.champion.rule
    on_test = {digest: evaluated.of_frame(frame, deciding="test") for digest, frame in judged.items()}
    mine, rival = on_test[won.digest], None
    if champion is not None:
        rival = on_test.get(champion.digest) or _evaluated(declared, lake, store, champion, won.as_of)
    named = {candidate.model: candidate for candidate in on_test.values()}
    return (
        gate.regression(rule, mine, rival),
        gate.baselines(rule, mine, baselines_of(rule, named)),
        gate.references(mine, {each.name: each.figures for each in declared.config.references}),
    )


def _evaluated(
    declared: Declared, lake: Lake, store: CandidateStore, release: Release, as_of: str
) -> Candidate:
    """The present champion, trained as of another date, on the same test rows."""
    report = evaluated.evaluate(declared, lake, store, release.digest, as_of, "test")
    return Candidate(release.digest, release.model, report.figures, report.figures, report.draws)


def _frame(packed: list[Packed], winner: Packed | None, gate: str) -> pl.DataFrame:
    """A row per candidate; `gate` is why the quality gate refuses the winner, empty if it does not."""
    return pl.DataFrame(
        [
            {
                "partition_key": each.made.as_of,
                "model": each.made.model,
                "digest": each.made.digest,
                "role": "winner" if each is winner else "challenger",
                "package": each.id,
                "fault": each.fault,
                "gate": gate if each is winner else "",
            }
            for each in packed
        ]
    )


def _shown(frame: pl.DataFrame, winner: Packed | None) -> dict[str, MetadataValue]:
    told = {
        "packages": table(frame.drop("partition_key").with_columns(pl.col("digest", "package").str.head(12)))
    }
    if winner is None or winner.folder is None:
        return told
    return {
        **told,
        "folder": MetadataValue.path(str(winner.folder)),
        "card": MetadataValue.md((winner.folder / CARD).read_text()),
    }


def _check(name: str, finding: Finding | None) -> AssetCheckResult:
    warns = name in WARNS or name == gate.REFERENCES
    return AssetCheckResult(
        check_name=name,
        passed=finding is None or finding.passed,
        severity=AssetCheckSeverity.WARN if warns else AssetCheckSeverity.ERROR,
        metadata={"found": finding.said if finding else "no winner: nothing is released"},
    )
