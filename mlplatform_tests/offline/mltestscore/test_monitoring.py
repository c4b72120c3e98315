"""Evidence of monitoring: alerts of dependencies, drift, age of the champion, regressions."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import ConfigurationError
from mlplatform.offline.mltestscore import data, monitoring, regressions
from mlplatform.stages.training.candidate import versions
from mlplatform_tests.offline.mltestscore.conftest import Deployed, answered
from mlplatform_tests.offline.mltestscore.test_data import parity

NOW = datetime.now(UTC)
AS_OF = "2025-04-08"


def training(deployed: Deployed, told: str) -> None:
    deployed.edit("  evaluators: [roc", f"  training: {told}\n\n  evaluators: [roc")


def test_nothing_that_trains_again_lets_a_model_get_old(deployed: Deployed) -> None:
    assert deployed.found(monitoring.stale).outcome == "broken"
    training(deployed, "{ changed: true }")  # time alone does not start this
    assert deployed.found(monitoring.stale).outcome == "broken"


@pytest.mark.parametrize(
    ("told", "allowed"),
    [('{ schedule: "0 3 * * 1" }', 7), ("{ features_generated: { every_days: 28 } }", 28)],
)
def test_a_champion_may_be_as_old_as_trainings_are_apart(deployed: Deployed, told: str, allowed: int) -> None:
    training(deployed, told)
    found = deployed.found(monitoring.stale)
    assert found.outcome == "held"
    assert f"at most {allowed} are allowed" in found.said


def test_a_champion_that_no_training_followed_is_old(deployed: Deployed) -> None:
    """A split of three days each could have been made as of 23 April, and was not."""
    training(deployed, '{ schedule: "0 3 * * 1" }')
    deployed.edit("validation: 10d, test: 2w", "validation: 3d, test: 4d")
    found = deployed.found(monitoring.stale)
    assert found.outcome == "broken"
    assert "the champion is as of 2025-04-08, 15 days before the newest date" in found.said


def test_drift_as_declared_decides(deployed: Deployed) -> None:
    assert deployed.found(monitoring.invariants).outcome == "held"
    drifted = deployed.read("drift_report").with_columns(psi=pl.lit(0.4), drifted=pl.lit(True))
    deployed.write("drift_report", drifted, drifted["partition_key"][0])
    found = deployed.found(monitoring.invariants)
    assert found.outcome == "held"  # by whom it is not declared what much is, it is only said
    assert "11 of 11 features of 2025-04-19 to 2025-04-29 drifted (most: " in found.said
    training(deployed, "{ drift: { psi: 0.3, features: 5 } }")
    assert deployed.found(monitoring.invariants).outcome == "broken"


def test_skew_is_told_by_served_answers_or_by_replay(deployed: Deployed) -> None:
    found = deployed.found(monitoring.skew)
    assert (found.outcome, found.check) == ("absent", "scores: served_parity")
    parity(deployed, NOW)
    found = deployed.found(monitoring.skew)
    assert (found.outcome, found.check) == ("documented", "verify parity")
    assert deployed.found(data.code).outcome == "documented"


def test_dependencies_that_changed_are_told(deployed: Deployed) -> None:
    before = deployed.found(monitoring.dependencies)
    assert "libraries are those the champion was trained with" in before.said
    deployed.trained(versions=versions() | {"polars": "0.20.0"})
    found = deployed.found(monitoring.dependencies)
    assert found.outcome == "broken"
    assert "polars 0.20.0 → " in found.said


def trainings(deployed: Deployed, seconds: Sequence[float]) -> None:
    one = deployed.read("candidate_logistic_regression").filter(partition_key=AS_OF)
    days = [AS_OF, *(f"2025-04-{day}" for day in range(10, 10 + len(seconds)))]
    rows = [
        one.with_columns(partition_key=pl.lit(day), fit_seconds=pl.lit(took * one["rows"][0]))
        for day, took in zip(days, [1.0, *seconds], strict=True)
    ]
    deployed.write("candidate_logistic_regression", pl.concat(rows), *days)


def test_training_and_answers_may_not_get_slower(deployed: Deployed) -> None:
    assert deployed.found(regressions.performance).outcome == "absent"
    trainings(deployed, [1.1, 0.9, 1.2])
    found = deployed.found(regressions.performance)
    assert found.outcome == "absent"
    assert found.said == "training 1.20 times the seconds per row of 3 earlier ones"
    assert found.remedy.startswith("It needs 100 answers of the champion")
    answered(deployed, version=1, milliseconds=[5.0] * 200)
    assert deployed.found(regressions.performance).outcome == "held"
    trainings(deployed, [1.1, 0.9, 2.5])
    assert deployed.found(regressions.performance).outcome == "broken"
    trainings(deployed, [1.0])
    answered(deployed, version=1, milliseconds=[150.0] * 200)
    assert deployed.found(regressions.performance).outcome == "broken"


def outcomes(deployed: Deployed, losses: Sequence[float]) -> None:
    days = [f"2025-04-{day:02}" for day in range(1, len(losses) + 1)]
    rows = pl.DataFrame({"day": days, "n": [50] * len(losses), "log_loss": losses})
    deployed.write("performance", rows.with_columns(partition_key=pl.lit("2025-04-01")), "2025-04-01")


@pytest.mark.parametrize(("newest", "outcome"), [(0.32, "held"), (0.45, "broken"), (0.2, "held")])
def test_newest_days_that_are_surely_worse(deployed: Deployed, newest: float, outcome: str) -> None:
    outcomes(deployed, [0.3, 0.34] * 6 + [newest, newest + 0.02] * 3 + [newest])
    found = deployed.found(regressions.quality)
    assert found.outcome == outcome
    assert "on the 7 newest days with outcomes" in found.said


def verdicts(deployed: Deployed, aspect: str, *worse: bool | None) -> None:
    """What monitoring said of version 1, a check an hour."""
    rows = [
        {
            "at": NOW - timedelta(hours=len(worse) - hour),
            "aspect": aspect,
            "version": "version 1",
            "worse": each,
            "sentence": f"check {hour} of {aspect}",
            "partition_key": "2025-04-28",
        }
        for hour, each in enumerate(worse)
    ]
    deployed.write("verdicts", pl.DataFrame(rows, schema_overrides={"worse": pl.Boolean}), "2025-04-28")


@pytest.mark.parametrize(
    ("worse", "outcome", "said"),
    [
        ((True, False, None), "held", "check 1 of accuracy"),
        ((False, True), "broken", "check 1 of accuracy"),
    ],
)
def test_verdicts_on_served_answers_come_first(
    deployed: Deployed, worse: tuple[bool | None, ...], outcome: str, said: str
) -> None:
    verdicts(deployed, "accuracy", *worse)
    found = deployed.found(regressions.quality)
    assert (found.outcome, found.check, found.said) == (outcome, "verdicts: accuracy", said)


def test_a_slow_version_is_told_by_its_verdict(deployed: Deployed) -> None:
    trainings(deployed, [1.0])
    verdicts(deployed, "speed", False)
    assert deployed.found(regressions.performance).outcome == "held"
    verdicts(deployed, "speed", False, True)
    found = deployed.found(regressions.performance)
    assert found.outcome == "broken"
    assert "check 1 of speed" in found.said


def test_alerts_have_to_reach_somebody() -> None:
    secret = {"MLPLATFORM_ALERT_WEBHOOK_SECRET": "whsec_" + "QUFB" * 11}
    least = {"MLPLATFORM_ALERT_LEAST": "info", "MLPLATFORM_ALERT_SMTP": "mail.example.org:587"}
    assert monitoring.targets(Settings.load(least | secret)) == []
    named = {
        "MLPLATFORM_ALERT_WEBHOOK": "https://example.org/hook",
        "MLPLATFORM_ALERT_SLACK": "https://hooks.slack.com/services/T/B/X",
        "MLPLATFORM_ALERT_EMAIL": "ops@example.org",
    }
    assert monitoring.targets(Settings.load(named | secret)) == ["webhook", "slack", "email"]
    with pytest.raises(ConfigurationError, match="no secret to sign by"):
        monitoring.targets(Settings.load(named))


def test_few_days_say_nothing(deployed: Deployed) -> None:
    outcomes(deployed, [0.3] * 13)
    found = deployed.found(regressions.quality)
    assert found.outcome == "absent"
    assert found.said == "13 days have outcomes and a figure, 14 are needed"
