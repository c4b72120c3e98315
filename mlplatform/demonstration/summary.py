"""The result of a demonstration: one object for programs. It must not print."""

from pathlib import Path
from typing import Any

from mlplatform.crosscutting.settings import Settings
from mlplatform.demonstration import found
from mlplatform.demonstration.plan import Plan
from mlplatform.demonstration.replay import Played
from mlplatform.offline.declared import Declared
from mlplatform.offline.served_parity import Found


def places(settings: Settings, use_case: str) -> dict[str, str]:
    """Where to look."""
    return {
        "ui": f"{settings.ui_url}/asset-groups",
        "status_page": f"{settings.scoring_url}/status/{use_case}",
        "scoring": f"{settings.scoring_url}/docs",
        "home": str(settings.home),
        "project": str(Path(settings.home) / "project"),
    }


def summary(
    declared: Declared,
    settings: Settings,
    plan: Plan,
    played: Played,
    compared: Found,
    seconds: dict[str, float],
) -> dict[str, Any]:
    """Everything that is told at the end; `seconds` by stage."""
    counts = played.counts
    different = compared.scores_different + compared.cells_different
    return {
        "use_case": declared.name,
        "from": str(plan.first),
        "to": str(plan.last),
        "events": counts.events.total(),
        "events_by_kind": dict(counts.events),
        "scores": counts.scores,
        "answered_by": dict(counts.links),
        "late": counts.late,
        "failed_requests": counts.failed,
        "failures": counts.failures,
        "compared": compared.answers,
        "compared_cells": compared.cells,
        "not_compared": counts.scores - compared.answers,
        "different": different,
        "differences": compared.different,
        "rollbacks": found.rollbacks(declared, settings, played),
        "retrainings": found.retrainings(declared, settings, played),
        "alerts": found.alerts(settings),
        "most_days_behind": played.behind,
        "seconds": round(sum(seconds.values()), 1),
        "seconds_by_stage": {name: round(value, 1) for name, value in seconds.items()},
        "seconds_waited": round(played.waited_seconds, 1),
        "places": places(settings, declared.name),
    }
