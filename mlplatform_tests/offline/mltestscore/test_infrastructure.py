"""Evidence of the infrastructure: code that changed, models released by hand, canaries, rollbacks."""

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dagster import AssetCheckEvaluation

from mlplatform.offline.assets._shared import key
from mlplatform.offline.deploying import Desk
from mlplatform.offline.mltestscore import infrastructure, monitoring
from mlplatform.offline.run import instance_of
from mlplatform.stores.champions import ChampionStore
from mlplatform_tests.offline.mltestscore.conftest import Deployed, answered
from mlplatform_tests.small import world

NOW = datetime.now(UTC)


def challenger(deployed: Deployed) -> int:
    """The decision tree, which did not win, packaged and released without being in use."""
    with Desk(deployed.declared, deployed.settings) as desk:
        return desk.release("decision_tree", who="ann", why="to be tried").version


def change(
    deployed: Deployed, action: Any, version: int, at: datetime, share: float = 0.0, who: str = "ann"
) -> None:
    with closing(ChampionStore(deployed.settings.state_url)) as store:
        store.change(world.NAME, action, version, who=who, why="a practice", at=at, share=share)


def test_a_pipeline_of_other_code_was_not_run(deployed: Deployed) -> None:
    assert deployed.found(infrastructure.integrated).outcome == "held"
    deployed.edit("max_iter: 200", "max_iter: 300")
    found = deployed.found(infrastructure.integrated)
    assert found.outcome == "broken"
    assert "candidate_logistic_regression" in found.said
    assert found.remedy == f"mlplatform run {world.NAME}"


def test_a_champion_that_the_rule_did_not_choose(deployed: Deployed) -> None:
    assert deployed.found(infrastructure.validated).outcome == "held"
    change(deployed, "promote", challenger(deployed), NOW)
    found = deployed.found(infrastructure.validated)
    assert found.outcome == "broken"
    assert found.said.startswith("version 2 (decision_tree) answers, but the rule did not choose it")


@pytest.mark.slow
def test_a_canary_comes_before_the_champion_and_gives_answers(deployed: Deployed) -> None:
    assert deployed.found(infrastructure.canaried).outcome == "broken"
    version = challenger(deployed)
    change(deployed, "canary", version, NOW - timedelta(hours=2), share=0.1)
    change(deployed, "promote", version, NOW)
    found = deployed.found(infrastructure.canaried)
    assert found.outcome == "documented"
    assert "canary for 10% of the entities" in found.said
    answered(deployed, version=version, milliseconds=[1.0] * 20, link="canary")
    found = deployed.found(infrastructure.canaried)
    assert found.outcome == "held"
    assert found.said.endswith("gave 20 answers")


@pytest.mark.slow
def test_a_rollback_is_practised(deployed: Deployed) -> None:
    assert deployed.found(infrastructure.rolled_back).outcome == "absent"
    version = challenger(deployed)
    for days in (4, 1):
        at = NOW - timedelta(days=days)
        change(deployed, "promote", version, at)
        change(deployed, "rollback", 1, at + timedelta(minutes=1))
        outcome = deployed.found(infrastructure.rolled_back).outcome
        assert outcome == ("documented" if days == 4 else "held")
    long_after = NOW + timedelta(days=88)  # one of the two is too old then
    assert deployed.found(infrastructure.rolled_back, long_after).outcome == "documented"


def test_a_rollback_by_monitoring_is_automatic(deployed: Deployed) -> None:
    change(deployed, "promote", challenger(deployed), NOW - timedelta(minutes=5))
    change(deployed, "rollback", 1, NOW, who="monitoring (run 1234)")
    found = deployed.found(infrastructure.rolled_back)
    assert found.outcome == "held"
    assert "1 by monitoring itself" in found.said


def compared(deployed: Deployed, answers: int, *, passed: bool = True) -> None:
    """A result of the check of served answers, as batch scoring reports it."""
    figures = {
        "answers compared": answers,
        "cells compared": 11 * answers,
        "cells different": int(not passed),
    }
    result = AssetCheckEvaluation(
        asset_key=key(deployed.declared, "scores"),
        check_name="served_parity",
        passed=passed,
        metadata=figures,
    )
    with instance_of(deployed.settings) as instance:
        instance.report_runless_asset_event(result)


def test_served_answers_that_batch_computes_again(deployed: Deployed) -> None:
    compared(deployed, 40)
    compared(deployed, 0)  # of days on which nothing was served: it says nothing
    found = deployed.found(infrastructure.debuggable)
    assert (found.outcome, found.check) == ("held", "scores: served_parity")
    assert found.said.startswith("facts, features and score of 40 single answers are kept")
    skew = deployed.found(monitoring.skew)
    assert skew.outcome == "held"
    assert skew.said.startswith("440 feature cells of 40 served answers")
    compared(deployed, 7, passed=False)
    for look_up in (infrastructure.debuggable, monitoring.skew):
        found = deployed.found(look_up)
        assert found.outcome == "broken"
        assert "scores: served_parity failed" in found.said


def test_what_was_never_run_has_no_result(deployed: Deployed) -> None:
    for look_up in (infrastructure.reproducible, infrastructure.debuggable):
        found = deployed.found(look_up)
        assert found.outcome == "absent"
        assert "mlplatform" in found.remedy
