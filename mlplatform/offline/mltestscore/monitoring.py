"""Evidence of the monitoring tests. It must not judge by anything but what a deployment holds."""

import math
from datetime import date, timedelta
from itertools import islice, pairwise

import polars as pl
from dagster._utils.schedules import cron_string_iterator

from mlplatform.crosscutting.alerting.targets import targets_of
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import ConfigurationError
from mlplatform.offline.drift_windows import newest, span
from mlplatform.offline.mltestscore import serving
from mlplatform.offline.mltestscore.home import Home
from mlplatform.offline.mltestscore.results import Found, absent, broken, by_command, of_checks, says
from mlplatform.offline.training_due import newest_date
from mlplatform.stages.training.candidate import versions
from mlplatform.stores.proofs import PARITY
from mlplatform.stores.served import SERVED

DRIFTED = 0.25
"""Population stability index from which a feature counts as drifted, unless declared."""
_A_YEAR_OF_TICKS = 60
"""Ticks of a schedule that are looked at for its longest pause."""


def dependencies(home: Home) -> Found:
    """1: changed deliveries are refused, libraries are those of the champion, and people are told."""
    name, champion = home.declared.name, home.champion
    wanted = [(f"raw_{each}", "contract") for each in home.declared.tables]
    found = of_checks(
        home,
        wanted,
        lambda results: f"{len(results)} sources are held to a contract, so a changed delivery is noticed",
        "See which rows broke the contract: mlplatform batches.",
    )
    check = f"{found.check}; candidate: versions; alert targets"
    candidate = home.candidate(champion.digest) if champion else None
    if found.outcome != "held":
        return found._replace(check=check)
    if candidate is None:
        return absent(check, f"mlplatform run {name}")
    then, now = candidate.metadata.versions, versions()
    changed = [
        f"{each} {then[each]} → {now[each]}" for each in now if each in then and then[each] != now[each]
    ]
    if changed:
        said = f"libraries changed since the champion was trained and nobody was told: {', '.join(changed)}"
        return broken(check, said, f"mlplatform verify training {name}, then train again.", found.at)
    said = f"{found.said}; the {len(then)} libraries are those the champion was trained with"
    try:
        told = targets(home.settings)
    except ConfigurationError as error:
        return broken(check, f"{said}; but no alert can be sent: {error}", error.hint, found.at)
    if not told:
        remedy = "Set MLPLATFORM_ALERT_WEBHOOK, MLPLATFORM_ALERT_SLACK or MLPLATFORM_ALERT_EMAIL."
        return broken(check, f"{said}; but no alert is sent to anybody", remedy, found.at)
    return Found("held", check, f"{said}; alerts go out by {', '.join(told)}", found.at)


def targets(settings: Settings) -> list[str]:
    """Where alerts are sent, by the kind of target; ConfigurationError if one is set wrongly."""
    return [target.name for target in targets_of(settings.alerts)]


def invariants(home: Home) -> Found:
    """2: inputs keep contracts and declared limits; drift from training to serving inputs is measured."""
    declared = home.declared
    limited = [name for name in declared.tables if declared.config.data_sets[name].condition]
    wanted = [(f"raw_{name}", "contract") for name in declared.tables]
    found = of_checks(
        home,
        [*wanted, *((name, "condition") for name in limited)],
        lambda results: (
            f"{len(wanted)} contracts hold, and "
            + (f"the declared limits of {len(limited)} tables" if limited else "no limits are declared")
        ),
        "The Dagster UI names column and limit; correct the source, or the limit in defs.yaml.",
    )
    if found.outcome != "held":
        return found
    report, check = home.newest("drift_report"), f"{found.check}; drift_report"
    if report is None:
        return absent(check, f"mlplatform run {declared.name}", f"{found.said}; drift was not measured yet")
    drift, trigger = newest(report), declared.config.training.drift
    psi = trigger.psi if trigger else DRIFTED
    beyond = pl.col("psi") >= psi
    if "drifted" in drift.columns and (trigger is None or trigger.against == "past"):
        # Beyond what past windows were, which says more.
        beyond = pl.col("drifted").fill_null(value=False)
    moved = drift.filter(beyond).sort("psi", descending=True, nulls_last=True)
    said = f"{found.said}; {moved.height} of {drift.height} features of {span(drift)} drifted"
    if moved.height:
        said += f" (most: {moved['feature'][0]}, PSI {moved['psi'][0] or 0.0:.2f})"
    most = math.inf
    if trigger is not None:
        most = trigger.features or math.ceil((trigger.share or 1.0) * drift.height)
    if moved.height >= most:
        return broken(check, f"{said}, as many as start a training", "Train again on newer days.", found.at)
    return Found("held", check, said, found.at)


def skew(home: Home) -> Found:
    """3: what the service computed for its answers is what batch computes, to the bit."""
    served = serving.parity(
        home,
        lambda found: (
            f"{found.figures['cells compared']:,} feature cells of "
            f"{found.figures['answers compared']:,} served answers are what batch computes, to the bit"
        ),
    )
    if served.outcome != "absent":
        return served
    wanted = home.declared.feature_set.id
    replayed = by_command(
        home,
        PARITY,
        "verify parity",
        f"mlplatform verify parity {home.declared.name}",
        lambda proof: (
            f"{proof.figures['cells']:,} cells and {proof.figures['scores']:,} scores replayed: "
            f"{proof.figures['different'] + proof.figures['scores_different']:,} different"
        ),
        that=lambda proof: proof.figures.get("feature_set") == wanted,
    )
    return served if replayed.outcome == "absent" else replayed


def stale(home: Home) -> Found:
    """4: the champion is no older than what starts a training allows."""
    check, champion, declared = "champion: as_of; features", home.champion, home.declared
    if champion is None:
        return absent(check, f"mlplatform run {declared.name}")
    allowed = _longest_pause(home)
    if allowed is None:
        return broken(
            check,
            "nothing trains a model again by itself, so nothing keeps it from getting old",
            "Declare `training:` in defs.yaml: schedule, or features_generated.",
            champion.released_at,
        )
    newest = newest_date(declared, home.lake.partitions(declared.table("features")))
    made = home.made("features")
    if newest is None:
        return absent(check, f"mlplatform run {declared.name}", "no date has features for a whole split")
    age = (date.fromisoformat(newest) - date.fromisoformat(champion.as_of)).days
    said = (
        f"the champion is as of {champion.as_of}, {max(age, 0)} days before the newest date that can be "
        f"trained for; at most {allowed} are allowed"
    )
    if age > allowed:
        return broken(
            check,
            said,
            f"See why nothing newer was trained or chosen: mlplatform champion {declared.name} --history",
            made,
        )
    return Found("held", check, said, made)


def _longest_pause(home: Home) -> int | None:
    """Days between two trainings as declared; None if nothing but drift or a change starts one."""
    training, pauses = home.declared.config.training, []
    if training.features_generated:
        pauses.append(training.features_generated.every_days)
    if training.schedule:
        ticks = islice(cron_string_iterator(home.now.timestamp(), training.schedule, "UTC"), _A_YEAR_OF_TICKS)
        gaps = [later - earlier for earlier, later in pairwise(ticks)]
        pauses.append(max(1, math.ceil(max(gaps) / timedelta(days=1))))
    return min(pauses, default=None)


def numbers(home: Home) -> Found:
    """5: no score is missing or not finite, for strange rows neither."""
    found = of_checks(
        home,
        [("package", "outputs"), ("package", "missing_and_unknown")],
        lambda results: "rows without any value get a finite score",
        "Train again; see the checks of `package`.",
        that=says,
    )
    check = f"{found.check}; scores, served: finite"
    if found.outcome != "held":
        return found._replace(check=check)
    (batch, wrong), (served, astray) = serving.strange(home, "scores"), serving.strange(home, SERVED)
    if not batch + served:
        return absent(check, f"mlplatform run {home.declared.name}", "nothing was scored yet")
    said = f"{batch:,} batch and {served:,} served scores, {wrong + astray:,} of them missing or not finite"
    if wrong + astray:
        return broken(
            check, said, "Look at these rows: mlplatform sql; then roll back or train again.", found.at
        )
    return Found("held", check, f"{said}; {found.said}", found.at)
