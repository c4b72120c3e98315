"""Evidence of features and data: ranking, cost of served answers, features computed twice."""

from datetime import UTC, datetime, timedelta

import polars as pl

from mlplatform.offline.mltestscore import data
from mlplatform.stores.proofs import PARITY
from mlplatform_tests.offline.mltestscore.conftest import Deployed, answered

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
AS_OF = "2025-04-08"


def ranked(deployed: Deployed, *scores: float) -> None:
    names = ["warehouse", "weight", "weekday"]
    rows = pl.DataFrame(
        {"feature": names, "score": scores, "rank": [1, 2, 3], "selected": [True, True, False]}
    )
    deployed.write("ranking", rows.with_columns(partition_key=pl.lit(AS_OF)), AS_OF)


def select(deployed: Deployed, strategy: str) -> None:
    deployed.edit("  evaluators: [roc", f"  selection: {{ strategy: {strategy} }}\n\n  evaluators: [roc")


def test_features_that_nothing_measured_are_not_known_to_be_of_use(deployed: Deployed) -> None:
    found = deployed.found(data.beneficial)
    assert found.outcome == "broken"
    assert found.said == "the models get all 11 features and nothing measured them"
    assert "Declare `selection:`" in found.remedy


def test_every_selected_feature_has_to_be_of_use(deployed: Deployed) -> None:
    select(deployed, "chi_squared")
    assert deployed.found(data.beneficial).outcome == "absent"
    ranked(deployed, 9.5, 0.25, -1.0)
    found = deployed.found(data.beneficial)
    assert found.outcome == "held"
    assert found.said == "2 of 3 features selected by chi_squared, each of use: least weight 0.25"
    ranked(deployed, 9.5, 0.0, 0.0)
    found = deployed.found(data.beneficial)
    assert found.outcome == "broken"
    assert found.said.endswith("1 of them are of no use: weight")


def test_features_that_a_person_named_were_chosen_by_hand(deployed: Deployed) -> None:
    select(deployed, "keep, options: { names: [weight] }")
    ranked(deployed, 1.0, 1.0, 0.0)
    assert deployed.found(data.beneficial).outcome == "documented"


def test_the_cost_is_that_of_served_answers(deployed: Deployed) -> None:
    found = deployed.found(data.cost)
    assert found.outcome == "absent"
    assert "the model alone:" in found.said
    answered(deployed, version=1, milliseconds=[3.0] * 99)
    assert deployed.found(data.cost).outcome == "absent"  # too few to speak of
    answered(deployed, version=1, milliseconds=[3.0] * 300)
    found = deployed.found(data.cost)
    assert found.outcome == "held"
    assert found.said.startswith("99 % of 300 answers took at most 3.00 ms")
    answered(deployed, version=1, milliseconds=[3.0] * 290 + [400.0] * 10)
    assert deployed.found(data.cost).outcome == "broken"


def parity(deployed: Deployed, at: datetime, *, different: int = 0, feature_set: str = "") -> None:
    deployed.prove(
        PARITY,
        at,
        passed=different == 0,
        feature_set=feature_set or deployed.declared.feature_set.id,
        features=11,
        rows=3600,
        cells=39_600,
        different=different,
        scores=3600,
        scores_different=0,
    )


def test_feature_code_is_tested_by_a_second_executor_again_and_again(deployed: Deployed) -> None:
    parity(deployed, NOW, feature_set="other@123")
    assert deployed.found(data.code, NOW).said.startswith("the results there are belong to another")
    parity(deployed, NOW - timedelta(days=3))
    parity(deployed, NOW - timedelta(days=3))
    found = deployed.found(data.code, NOW)
    assert found.outcome == "documented"
    assert "`mlplatform verify parity late_orders`" in found.remedy
    parity(deployed, NOW)
    found = deployed.found(data.code, NOW)
    assert (found.outcome, found.at) == ("held", NOW)
    assert found.said.endswith("0 of 39,600 cells different; tried on 2 days")
    parity(deployed, NOW, different=2)
    found = deployed.found(data.code, NOW)
    assert found.outcome == "broken"
    assert found.said.endswith("2 of 39,600 cells different")


def test_one_fresh_result_and_an_old_one_are_not_repeated(deployed: Deployed) -> None:
    parity(deployed, NOW - timedelta(days=91))
    parity(deployed, NOW)
    assert deployed.found(data.code, NOW).outcome == "documented"
