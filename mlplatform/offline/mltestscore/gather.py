"""The evidence of all 28 tests of a use case, with the rules that hold for every one of them.

A result counts as long as it is fresh. What a person tested by hand and wrote down counts half, and only
where no automatic check says anything. It must not know how a test is shown to hold.
"""

from collections.abc import Callable
from datetime import datetime

from mlplatform.crosscutting.settings import Settings
from mlplatform.offline.declared import Declared
from mlplatform.offline.mltestscore import data, infrastructure, model, monitoring, regressions
from mlplatform.offline.mltestscore.home import Home, opened
from mlplatform.offline.mltestscore.results import Found
from mlplatform.stages.monitoring.rubric import Evidence, Score, score
from mlplatform.stores.proofs import MANUAL

LOOK_UPS: dict[str, Callable[[Home], Found]] = {
    "data_1": data.schema,
    "data_2": data.beneficial,
    "data_3": data.cost,
    "data_4": data.requirements,
    "data_5": data.privacy,
    "data_6": data.quick,
    "data_7": data.code,
    "model_1": model.reviewed,
    "model_2": model.metrics_correlate,
    "model_3": model.tuned,
    "model_4": model.staleness_known,
    "model_5": model.simpler,
    "model_6": model.sliced,
    "model_7": model.inclusion,
    "infra_1": infrastructure.reproducible,
    "infra_2": infrastructure.unit_tested,
    "infra_3": infrastructure.integrated,
    "infra_4": infrastructure.validated,
    "infra_5": infrastructure.debuggable,
    "infra_6": infrastructure.canaried,
    "infra_7": infrastructure.rolled_back,
    "monitor_1": monitoring.dependencies,
    "monitor_2": monitoring.invariants,
    "monitor_3": monitoring.skew,
    "monitor_4": monitoring.stale,
    "monitor_5": monitoring.numbers,
    "monitor_6": regressions.performance,
    "monitor_7": regressions.quality,
}
"""How the result of each test is found."""
OF_THE_CHAMPION = {"data_2", "model_1", "model_3", "model_6", "infra_4", "infra_6"}
"""Tests of how the champion came to be: that does not get too old to count while it is the champion."""


def ml_test_score(declared: Declared, settings: Settings, now: datetime) -> Score:
    """The score of a use case by what its deployment holds; a fresh deployment holds nothing.

    Raises
    ------
    MlplatformError
        if a store cannot be read.
    """
    with opened(declared, settings, now) as home:
        return score([_evidence(home, test, look_up(home)) for test, look_up in LOOK_UPS.items()])


def _evidence(home: Home, test: str, found: Found) -> Evidence:
    found = _by_hand(home, test, _still(home, test, found))
    return Evidence(
        test=test,
        outcome=found.outcome,
        check=found.check,
        said=found.said,
        at=found.at,
        remedy=found.remedy if found.outcome != "held" else "",
    )


def _still(home: Home, test: str, found: Found) -> Found:
    """A result that is too old to count is none."""
    counts = found.outcome in ("held", "documented")
    if not counts or test in OF_THE_CHAMPION or found.at is None or home.fresh(found.at):
        return found
    age, most = (home.now - found.at).days, home.settings.proof_days
    remedy = (
        found.remedy or f"Let it run again: mlplatform run {home.declared.name}, or the sensors of the UI."
    )
    return found._replace(
        outcome="absent",
        said=f"the newest result is {age} days old, {most} count: {found.said}",
        remedy=remedy,
    )


def _by_hand(home: Home, test: str, found: Found) -> Found:
    """What a person wrote down of the test, where no automatic check has a word."""
    if found.check and found.outcome != "absent":
        return found
    proofs = [proof for proof in home.proofs if proof.name == f"{MANUAL}{test}" and home.fresh(proof.at)]
    if not proofs:
        by_hand = f"mlplatform mltestscore {home.declared.name} --by-hand {test} --note TEXT"
        return found if found.check else found._replace(remedy=f"{found.remedy} Half a point: {by_hand}")
    newest = proofs[-1]
    said = f"by hand: {newest.figures['note']} ({newest.by})"
    remedy = found.remedy or "An automatic check would make it a full point."
    return found._replace(outcome="documented", said=said, at=newest.at, remedy=remedy)
