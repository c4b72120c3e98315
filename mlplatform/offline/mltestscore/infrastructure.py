"""Evidence of the tests for ML infrastructure. It must not judge by anything but what a deployment holds."""

from collections.abc import Iterable
from datetime import UTC, datetime

import polars as pl
from dagster import AssetKey, DagsterRunStatus

from mlplatform.offline.mltestscore import serving
from mlplatform.offline.mltestscore.home import Home
from mlplatform.offline.mltestscore.results import (
    REPEATED,
    Found,
    absent,
    broken,
    by_command,
    of_checks,
    says,
)
from mlplatform.offline.plan import missing, steps
from mlplatform.offline.use_case import definitions
from mlplatform.stages.deployment import gate
from mlplatform.stages.deployment.contract import TESTS as CONTRACT
from mlplatform.stages.deployment.contract import WARNS
from mlplatform.stores.proofs import REPRODUCED

ENDED = (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)
WATCHER = "monitoring"
"""Begins the name of who rolls back without a person."""
RUNS = 50
"""Runs of the deployment that are looked through for the newest one of the use case."""


def reproducible(home: Home) -> Found:
    """1: the champion, trained again from the lake, is the same to the byte."""
    digest = home.champion.digest if home.champion else ""
    return by_command(
        home,
        REPRODUCED,
        "verify training",
        f"mlplatform verify training {home.declared.name}",
        lambda proof: proof.figures["said"],
        that=lambda proof: proof.figures.get("digest") == digest,
    )


def unit_tested(home: Home) -> Found:
    """2: every package of a model passes the contract tests before it may be released."""
    return of_checks(
        home,
        [("package", name) for name in CONTRACT if name not in WARNS],
        lambda found: f"{len(found)} contract tests of the winner's package passed",
        "See the checks of `package` in the Dagster UI, or `mlplatform package`; train again.",
        that=says,
    )


def integrated(home: Home) -> Found:
    """3: the whole pipeline, from raw data to monitoring, ran to its end with the code as it is now."""
    check, again = "materialisations of every asset; the newest run", f"mlplatform run {home.declared.name}"
    if home.instance is None:
        return absent(check, again, "the pipeline never ran")
    wanted, defs = steps(home.declared), definitions(home.declared, home.settings)
    lacking = [rest for step in wanted if (rest := missing(step, defs, home.instance)) is not None]
    total = sum(len(step.assets) for step in wanted)
    ended = _newest_run(home)
    if ended is None:
        return absent(check, again, "no run of it is over")
    status, at = ended
    if lacking:
        names = sorted({asset.path[-1] for step in lacking for asset in step.assets})
        shown = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
        return broken(
            check, f"{len(names)} of {total} assets are missing or of other code: {shown}", again, at
        )
    if status != DagsterRunStatus.SUCCESS:
        said = f"the newest run ended as {status.value.lower()}"
        return broken(check, said, "The Dagster UI shows why; then run it again.", at)
    return Found(
        "held", check, f"all {total} assets are made by the present code; the newest run succeeded", at
    )


def _newest_run(home: Home) -> tuple[DagsterRunStatus, datetime] | None:
    """How the newest run of the use case that is over ended, and when it began."""
    assert home.instance is not None
    for record in home.instance.get_run_records(limit=RUNS):
        run = record.dagster_run
        if run.status in ENDED and _of(home.declared.name, run.asset_selection or ()):
            began = record.create_timestamp
            return run.status, began.replace(tzinfo=began.tzinfo or UTC)
    return None


def _of(use_case: str, assets: Iterable[AssetKey]) -> bool:
    return any(asset.path[0] == use_case for asset in assets)


def validated(home: Home) -> Found:
    """4: what answers was chosen by the champion rule and let through by the quality gate."""
    check, champion = f"champion: rule; package: {gate.REGRESSION}, {gate.BASELINES}", home.champion
    if champion is None:
        return absent(check, f"mlplatform run {home.declared.name}")
    verdict, packages = (home.rows(table, champion.as_of) for table in ("champion", "package"))
    if verdict is None or packages is None:
        return absent(check, f"mlplatform run {home.declared.name}")
    made = home.made("package", champion.as_of)
    who = f"version {champion.version} ({champion.model})"
    won = verdict.filter("winner", pl.col("digest") == champion.digest)
    if not won.height:
        said = f"{who} answers, but the rule did not choose it as of {champion.as_of}: {champion.why}"
        return broken(check, said, "Let the pipeline release the winner, or roll back.", champion.released_at)
    row = packages.filter(pl.col("digest") == champion.digest).to_dicts()
    against = (row[0].get("fault") or row[0].get("gate") or "") if row else "it was not packaged"
    if against:
        return broken(
            check,
            f"{who} answers although {against}",
            f"Roll back: mlplatform rollback {home.declared.name}",
            champion.released_at,
        )
    return Found("held", check, f"{who}: {won['reason'][0]} The gate let it pass.", made)


def debuggable(home: Home) -> Found:
    """5: of every answer the facts, the feature vector and the score are kept and can be computed again."""
    return serving.parity(
        home,
        lambda found: (
            f"facts, features and score of {found.figures['answers compared']:,} single answers are "
            "kept, and each step was computed again"
        ),
    )


def canaried(home: Home) -> Found:
    """6: the champion answered a share of the entities before it answered all."""
    check, champion, name = "alias history: canary before promote", home.champion, home.declared.name
    if champion is None:
        return absent(check, f"mlplatform run {name}")
    changes = home.changes
    promoted = max(
        n
        for n, each in enumerate(changes)
        if each.action in ("promote", "rollback") and each.version == champion.version
    )
    tried = [
        each for each in changes[:promoted] if each.action == "canary" and each.version == champion.version
    ]
    remedy = f"Try the next one first: mlplatform canary {name} MODEL --share 0.05, later mlplatform promote."
    at = changes[promoted].changed_at
    if not tried:
        return broken(
            check, f"version {champion.version} became the champion without having been a canary", remedy, at
        )
    count = serving.answers(home, champion.version, "canary")
    said = (
        f"version {champion.version} was a canary for {tried[-1].share:.0%} of the entities from "
        f"{tried[-1].changed_at:%Y-%m-%d %H:%M} to {at:%Y-%m-%d %H:%M}"
    )
    if not count:
        return Found("documented", check, f"{said}, but no answer of it is on record", at, remedy)
    return Found("held", check, f"{said} and gave {count:,} answers", at)


def rolled_back(home: Home) -> Found:
    """7: a rollback was done, and lately."""
    check, name = "alias history: rollback", home.declared.name
    remedy = f"Practise it: mlplatform rollback {name}, then mlplatform promote {name} VERSION."
    done = [each for each in home.changes if each.action == "rollback"]
    if not done:
        return absent(check, remedy, "nobody ever rolled back here")
    newest = done[-1]
    said = f"to version {newest.version} by {newest.changed_by} on {newest.changed_at:%Y-%m-%d}: {newest.why}"
    lately = [each for each in done if home.fresh(each.changed_at)]
    days = {each.changed_at.date() for each in lately}
    by_itself = [each for each in lately if each.changed_by.startswith(WATCHER)]
    if len(days) >= REPEATED or by_itself:
        how = f"{len(lately)} lately, on {len(days)} days, {len(by_itself)} by monitoring itself"
        return Found("held", check, f"{said} ({how})", newest.changed_at)
    return Found("documented", check, said, newest.changed_at, f"{remedy} On {REPEATED} days: a full point.")
