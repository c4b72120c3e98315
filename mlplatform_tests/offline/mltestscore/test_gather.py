"""The score of real deployments: a fresh one, a finished one, and ones whose checks fail for real."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from dagster import AssetCheckEvaluation

from mlplatform.offline.assets._shared import key
from mlplatform.offline.declared import Declared
from mlplatform.offline.features_file import import_file
from mlplatform.offline.mltestscore import data, monitoring
from mlplatform.offline.plan import Step
from mlplatform.offline.run import instance_of, materialise
from mlplatform.stages.monitoring.rubric import TESTS, Score
from mlplatform.stores.proofs import MANUAL
from mlplatform_tests.offline.mltestscore.conftest import Deployed, by_test
from mlplatform_tests.small import world

HELD = {"data_1", "data_4", "data_6", "model_5", "infra_2", "infra_3", "infra_4", "monitor_2", "monitor_5"}
"""What the first run of the small use case shows by itself."""
ABSENT = {"data_3", "data_7", "model_4", "infra_1", "infra_5", "infra_7", "monitor_3", "monitor_6"}


def test_a_fresh_deployment_has_nothing_to_show(tmp_path: Path) -> None:
    fresh = Deployed(world.make_use_case(tmp_path / "project"), tmp_path / "home")
    found = fresh.score()
    assert found.final == 0.0
    assert found.points == {"data": 0.0, "model": 0.0, "infra": 0.0, "monitor": 0.0}
    assert all(each.remedy for of_section in found.evidence.values() for each in of_section)
    assert not fresh.home.exists()


def test_a_first_run_shows_what_its_checks_checked(first: Score) -> None:
    found = by_test(first)
    outcomes = {test: each.outcome for test, each in found.items()}
    quality = outcomes.pop("monitor_7")  # says what the last days of the data say
    assert {test for test, outcome in outcomes.items() if outcome == "held"} == HELD
    assert {test for test, outcome in outcomes.items() if outcome == "absent"} == ABSENT
    assert quality in ("held", "broken")
    assert Counter(outcomes.values())["documented"] == 0
    assert all(found[test].at and found[test].check and not found[test].remedy for test in HELD)
    assert found["data_1"].said == "3,603 rows held to 2 contracts, none rejected"
    assert found["data_1"].check == "raw_orders, raw_warehouses: contract"
    assert "132 cells asked again" in found["data_4"].said
    assert found["infra_4"].said.startswith("version 1 (logistic_regression): logistic_regression chosen")
    assert found["model_2"].check == found["data_5"].check == found["model_7"].check == ""
    assert "log_loss 0.3123 offline" in found["model_2"].said
    assert all(each.said for each in found.values())


def test_a_failed_check_lowers_the_score(deployed: Deployed, first: Score) -> None:
    failed = AssetCheckEvaluation(
        asset_key=key(deployed.declared, "features"),
        check_name="no_leakage",
        passed=False,
        metadata={"cells different": 4},
    )
    with instance_of(deployed.settings) as instance:
        instance.report_runless_asset_event(failed)
    after = deployed.score()
    assert after.points["data"] == first.points["data"] - 1.0
    evidence = after.evidence["data"][3]
    assert (evidence.test, evidence.outcome) == ("data_4", "broken")
    assert evidence.said == "features: no_leakage failed (cells different 4)"
    assert evidence.remedy


@pytest.mark.slow
def test_a_feature_that_sees_the_future_is_told(deployed: Deployed) -> None:
    """For real, past the look that refuses it when it is declared: three days of features made anew."""
    leak = 'Agg(placed, "warehouse", "mean", "1d", "hours_to_ship")'
    sound = deployed.declared
    world.edit(sound.file, leak.replace("placed", "shipped"), leak)
    leaking = Declared(sound.name, sound.folder, sound.config, import_file(sound.file, "leaking_features"))
    days = ("2025-04-20", "2025-04-21", "2025-04-22")
    materialise(leaking, deployed.settings, [Step("features", (key(leaking, "features"),), days)])
    found = deployed.found(data.requirements, declared=leaking)
    assert found.outcome == "broken"
    assert "features: no_leakage failed" in found.said


def test_results_stop_counting(deployed: Deployed) -> None:
    later = datetime.now(UTC) + timedelta(days=deployed.settings.proof_days + 1)
    found = deployed.evidence(later)
    assert {test for test in HELD if found[test].outcome == "held"} == {"infra_4"}  # how it was chosen stays
    assert {found[test].outcome for test in HELD - {"infra_4"}} == {"absent"}
    assert found["data_1"].said.startswith("the newest result is 91 days old, 90 count: 3,603 rows")
    assert (
        found["data_1"].remedy == f"Let it run again: mlplatform run {world.NAME}, or the sensors of the UI."
    )


def test_what_is_done_by_hand_counts_half_where_no_check_has_a_word(deployed: Deployed, first: Score) -> None:
    now = datetime.now(UTC)
    for test in ("data_5", "data_1", "data_2", "infra_1"):
        deployed.prove(f"{MANUAL}{test}", now, note="looked at it")
    deployed.prove(f"{MANUAL}model_7", now - timedelta(days=200), note="long ago")
    after = deployed.score(now)
    found = by_test(after)
    # Privacy has no check, reproducibility no result yet; a check that holds, or fails, has the last word.
    assert found["data_5"].outcome == found["infra_1"].outcome == "documented"
    assert found["data_5"].said == "by hand: looked at it (ann@host)"
    assert found["data_1"].outcome == "held"
    assert found["data_2"].outcome == found["model_7"].outcome == "broken"
    assert after.points["data"] == first.points["data"] + 0.5
    assert after.points["infra"] == first.points["infra"] + 0.5


def test_a_score_that_is_no_number_is_told(deployed: Deployed) -> None:
    assert deployed.found(monitoring.numbers).outcome == "held"
    day = "2025-04-20"
    rows = deployed.read("scores").filter(partition_key=day)
    spoiled = pl.when(pl.int_range(pl.len()) == 7).then(float("nan")).otherwise("score").alias("score")
    deployed.write("scores", rows.with_columns(spoiled), day)
    found = deployed.found(monitoring.numbers)
    assert found.outcome == "broken"
    assert "1,320 batch and 0 served scores, 1 of them missing or not finite" in found.said


def test_every_test_of_the_rubric_is_looked_up() -> None:
    from mlplatform.offline.mltestscore.gather import LOOK_UPS

    assert list(LOOK_UPS) == list(TESTS)
