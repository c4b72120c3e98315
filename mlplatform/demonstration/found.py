"""What a demonstration came to: rollbacks, trainings, alerts, and online scores compared with batch ones.

It must not judge what it finds.
"""

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, time, timedelta
from typing import Any

from mlplatform.crosscutting.settings import Settings
from mlplatform.demonstration.plan import Plan
from mlplatform.demonstration.replay import Played
from mlplatform.demonstration.watched import by_itself, when
from mlplatform.offline.declared import Declared
from mlplatform.offline.instance import instance_of
from mlplatform.offline.run_tags import REASON_TAG, TRIGGER_TAG
from mlplatform.offline.served_parity import Found, look
from mlplatform.stores.alerts import AlertStore
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.champions import ChampionStore
from mlplatform.stores.lake import Lake


def compared(declared: Declared, settings: Settings, plan: Plan, done: Callable[[str, Found], None]) -> Found:
    """Every answer against batch features and scores of its own version, to the bit.

    Parameters
    ----------
    done : is told each day, and what was found so far.
    """
    whole, candidates = Found(), CandidateStore(settings.candidates)
    with closing(Lake.from_settings(settings)) as lake:
        for number in range(-1, plan.days + 1):
            day = plan.first + timedelta(days=number)
            begin = datetime.combine(day, time(), UTC)
            found = look(declared, lake, candidates, begin, begin + timedelta(days=1, microseconds=-1))
            for name in ("answers", "cells", "cells_different", "scores_different", "without_candidate"):
                setattr(whole, name, getattr(whole, name) + getattr(found, name))
            whole.different += found.different
            done(str(day), whole)
    return whole


def rollbacks(declared: Declared, settings: Settings, played: Played) -> list[dict[str, Any]]:
    """What monitoring took back, with the time since its promotion, on the wall and in the replay."""
    with closing(ChampionStore(settings.state_url)) as store:
        changes, releases = store.changes(declared.name), store.history(declared.name)
    found, champion = [], 0
    for change in changes:
        if change.action == "rollback" and by_itself(change):
            promoted = when(changes, champion, change.changed_at)
            seconds = (change.changed_at - promoted.changed_at).total_seconds()
            hours = played.clock.at(change.changed_at) - played.clock.at(promoted.changed_at)
            found.append(
                {
                    "version": champion,
                    "model": releases[champion - 1].model,
                    "promoted_because": promoted.why,
                    "back_to": change.version,
                    "cause": change.why,
                    "seconds_to_notice": round(seconds, 1),
                    "hours_to_notice": round(hours / timedelta(hours=1), 1),
                    "replayed_at": f"{played.clock.at(change.changed_at):%Y-%m-%dT%H:%M:%SZ}",
                }
            )
        if change.action in ("promote", "rollback"):
            champion = change.version
    return found


def retrainings(declared: Declared, settings: Settings, played: Played) -> list[dict[str, Any]]:
    """Trainings that the platform began by itself, why, and whether what came of it was promoted."""
    with closing(ChampionStore(settings.state_url)) as store:
        promotions = [change for change in store.changes(declared.name) if change.action == "promote"]
    with instance_of(settings) as instance:
        runs = [record for record in instance.get_run_records() if TRIGGER_TAG in record.dagster_run.tags]
    found = []
    for record in sorted(runs, key=lambda record: record.create_timestamp):
        run = record.dagster_run
        # A person may promote another candidate of the same training: that is not what came of it.
        won = [each for each in promotions if f"(run {run.run_id[:8]})" in each.changed_by]
        found.append(
            {
                "trigger": run.tags[TRIGGER_TAG],
                "cause": run.tags[REASON_TAG],
                "as_of": run.tags.get("dagster/partition", ""),
                "status": run.status.value,
                "replayed_at": f"{played.clock.at(_utc(record.create_timestamp)):%Y-%m-%dT%H:%M:%SZ}",
                "promoted": won[-1].version if won else None,
                "outcome": won[-1].why if won else "the champion stayed: no candidate was better by the rule",
            }
        )
    return found


def alerts(settings: Settings) -> list[dict[str, Any]]:
    """Every alert that was raised, with its cause and remedy."""
    with closing(AlertStore(settings.state_url)) as store:
        history = [change for change in store.history() if change.action != "cleared"]
    return [
        {
            "kind": change.alert.kind,
            "subject": change.alert.subject,
            "severity": change.alert.severity,
            "cause": change.alert.cause,
            "remedy": change.alert.remedy,
        }
        for change in history
    ]


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=moment.tzinfo or UTC)
