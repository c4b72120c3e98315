"""The step that closes the loop: judge the champion, and take it back if the declared rule says so.

It reads answers that are joined with their outcomes (`observed`), says what it found as rows of the table
`verdicts`, raises alerts and rolls back through the same desk as a person. Nothing a person promoted is taken
back for answers from before that. It must not know Dagster.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
import polars as pl

from mlplatform.crosscutting.alerting.alert import Alert
from mlplatform.offline import observed as observed_rows
from mlplatform.offline.declared import Declared
from mlplatform.offline.deploying import Desk
from mlplatform.stages.deployment.alias import Deployment
from mlplatform.stages.monitoring import serving
from mlplatform.stages.monitoring.page_hinkley import PageHinkley
from mlplatform.stages.monitoring.verdict import LOSSES, Decision, Verdict, decide, errors, judge, speed
from mlplatform.stores.alerts import AlertStore
from mlplatform.stores.lake import Lake
from mlplatform.stores.served import SERVED

VERDICTS = "verdicts"
_SPAN = timedelta(days=1)
"""How far back requests are looked at for speed and errors."""
ROLLED_BACK, NOWHERE, RISING = "champion-rolled-back", "champion-worse", "errors-rise"
SCHEMA: dict[str, Any] = {
    "at": pl.Datetime("us", "UTC"),
    "aspect": pl.String,
    "metric": pl.String,
    "version": pl.String,
    "reference": pl.String,
    "worse": pl.Boolean,
    "n": pl.Int64,
    "blocks": pl.Int64,
    "total": pl.Int64,
    "value": pl.Float64,
    "reference_value": pl.Float64,
    "excess": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "newest": pl.Datetime("us", "UTC"),
    "sentence": pl.String,
    "action": pl.String,
    "cause": pl.String,
}
"""Columns of the table `verdicts`: one row per aspect and check, `at` the clock's time of the check; `action`
is what was done then (rollback, alert, or empty), and `cause` why, in one sentence."""
_FIELDS = tuple(Verdict.__struct_fields__)


@dataclass(frozen=True)
class Checked:
    """What one check came to."""

    rows: pl.DataFrame
    """With the columns of `SCHEMA`."""
    decision: Decision
    action: str


def check(
    declared: Declared, lake: Lake, desk: Desk, alerts: AlertStore, now: datetime, who: str
) -> Checked | None:
    """Judge the champion by what is known now, and act; None if there is none.

    Raises
    ------
    MlplatformError
        if a store refuses, or outcomes are none of the kind of score.
    """
    present = desk.store.deployment(declared.name)
    if present is None:
        return None
    rule, since = declared.config.monitoring.rollback.rule, _since(desk, declared.name, present)
    before = past(lake, declared, present, since)
    verdicts = [
        *_of_outcomes(declared, lake, present, since),
        *_of_requests(declared, lake, present, since, now),
    ]
    history = [*(_verdict(row) for row in before.iter_rows(named=True)), *verdicts]
    decision = decide(history, rule)
    action = _act(declared, desk, alerts, present, decision, now, who)
    _watch(declared, lake, alerts, present, since, now)
    rows = [
        {name: getattr(each, name) for name in _FIELDS}
        | {"at": now, "action": action, "cause": decision.cause}
        for each in verdicts
    ]
    return Checked(pl.DataFrame(rows, schema=SCHEMA), decision, action)


def past(lake: Lake, declared: Declared, present: Deployment, since: datetime) -> pl.DataFrame:
    """Verdicts about the champion since it became it, the oldest first."""
    table = declared.table(VERDICTS)
    if not lake.exists(table):
        return pl.DataFrame(schema=SCHEMA)
    rows = lake.read(table).filter(
        pl.col("version") == _name(present.champion.version), pl.col("at") >= since
    )
    return rows.sort("at", maintain_order=True)


def _since(desk: Desk, use_case: str, present: Deployment) -> datetime:
    """When the champion became it: by its promotion, or by the rollback to it."""
    moves = [each for each in desk.store.changes(use_case) if each.action in ("promote", "rollback")]
    return next(each.changed_at for each in reversed(moves) if each.version == present.champion.version)


def _of_outcomes(declared: Declared, lake: Lake, present: Deployment, since: datetime) -> list[Verdict]:
    """Accuracy and calibration on the newest answers; none where the kind of score has none."""
    kind, rule = declared.config.output.kind, declared.config.monitoring.rollback.rule
    rows = _answers(declared, lake, present, since)
    if kind not in LOSSES or rows is None or not present.previous:
        return []
    known = rows.filter(pl.col("outcome").is_not_null()).height
    upto = serving.newest(rows)
    recent = (
        rows
        if upto is None
        else rows.filter(pl.col("as_of") > upto - timedelta(days=rule.days, hours=rule.settle_hours))
    )
    earlier = known - recent.filter(pl.col("outcome").is_not_null()).height
    reference = present.previous[0].version
    named = {"version": _name(present.champion.version), "reference": _name(reference)}
    return [
        judge(_judged(recent, reference), rule, kind, aspect, earlier=earlier, **named)
        for aspect in ("accuracy", "calibration")
    ]


def _answers(declared: Declared, lake: Lake, present: Deployment, since: datetime) -> pl.DataFrame | None:
    table = observed_rows.table_of(declared)
    if not lake.exists(table):
        return None
    rows = lake.read(table, moments={"answered_at": (since, None)})
    return rows.filter(
        pl.col("version") == present.champion.version, pl.col("link").is_in(("champion", "asked", "canary"))
    )


def _judged(rows: pl.DataFrame, reference: int) -> pl.DataFrame:
    return rows.select(
        "prediction_id",
        at="as_of",
        block=pl.col("as_of").dt.truncate("1h").cast(pl.String),
        score="score",
        reference=pl.when(pl.col("reference_version") == reference).then("reference"),
        outcome="outcome",
    )


def _of_requests(
    declared: Declared, lake: Lake, present: Deployment, since: datetime, now: datetime
) -> list[Verdict]:
    """Speed and errors of the newest requests, a day of them at most; `total` tells new ones from old."""
    table, rule = declared.table(SERVED), declared.config.monitoring.rollback.rule
    if not lake.exists(table) or "answered_at" not in lake.read(table, partitions=[]).columns:
        return []
    columns, champion = ["version", "link", "late", "because", "answered_at"], present.champion.version
    rows = lake.read(table, columns=columns, moments={"answered_at": (since, now)})
    recent = serving.counts(rows.filter(pl.col("answered_at") > now - _SPAN), champion)
    total = serving.counts(rows, champion).requests
    return [judged(recent, None, rule, total=total, version=_name(champion)) for judged in (speed, errors)]


def _act(
    declared: Declared,
    desk: Desk,
    alerts: AlertStore,
    present: Deployment,
    decision: Decision,
    now: datetime,
    who: str,
) -> str:
    """Roll back, or say that somebody has to; what was done, or nothing."""
    name, champion = declared.name, present.champion.version
    if not decision.roll_back:
        alerts.clear(name, NOWHERE, _name(champion), "its checks say worse no longer in a row")
        return ""
    if not declared.config.monitoring.rollback.enabled or not present.previous:
        why = "no earlier champion is there" if not present.previous else "`rollback: false` is declared"
        remedy = f"mlplatform promote {name} VERSION, or mlplatform rollback {name}"
        alerts.raise_(
            _alert(declared, NOWHERE, champion, "critical", f"{decision.cause} {why}.", remedy, now)
        )
        return "alert"
    back = desk.rollback(who=who, why=decision.cause).present.champion.version
    cause = f"{decision.cause} Version {back} answers again."
    remedy = (
        f"Nothing at once: version {back} answers. mlplatform monitor {name} shows why; version {champion} "
        f"comes back only by mlplatform promote {name} {champion}."
    )
    alerts.raise_(_alert(declared, ROLLED_BACK, champion, "critical", cause, remedy, now))
    alerts.clear(name, RISING, _name(champion), f"version {champion} was rolled back")
    return "rollback"


def _watch(
    declared: Declared,
    lake: Lake,
    alerts: AlertStore,
    present: Deployment,
    since: datetime,
    now: datetime,
) -> None:
    """Page-Hinkley on the hourly excess of the champion's errors over its reference's: only a warning."""
    kind, rows = declared.config.output.kind, _answers(declared, lake, present, since)
    if kind not in LOSSES or rows is None or not present.previous:
        return
    known = _judged(rows, present.previous[0].version).drop_nulls(["outcome", "reference"]).sort("at")
    p, q, y = (pl.col(name).cast(pl.Float64) for name in ("score", "reference", "outcome"))
    excess = (
        known.select(at=pl.col("at").dt.truncate("1h"), excess=((p - y) ** 2 - (q - y) ** 2))
        .group_by("at", maintain_order=True)
        .agg(pl.col("excess").mean())["excess"]
    )
    test, rises = PageHinkley(), 0
    for value in excess.to_list():
        rises += test.update(value)
    champion = present.champion.version
    if rises:
        cause = (
            f"the errors of {_name(champion)} rise against those of {_name(present.previous[0].version)} on "
            f"the same questions (Page-Hinkley, {rises} times in {excess.len():,} hours)."
        )
        remedy = f"See mlplatform monitor {declared.name}; a retraining may help."
        alerts.raise_(_alert(declared, RISING, champion, "warning", cause, remedy, now))


def _alert(
    declared: Declared, kind: str, version: int, severity: Any, cause: str, remedy: str, now: datetime
) -> Alert:
    return Alert(
        use_case=declared.name,
        kind=kind,
        subject=_name(version),
        severity=severity,
        cause=cause,
        remedy=remedy,
        at=now,
    )


def _name(version: int) -> str:
    return f"version {version}"


def _verdict(row: dict[str, Any]) -> Verdict:
    told = {name: row[name] for name in _FIELDS}
    return msgspec.convert(told, Verdict)
