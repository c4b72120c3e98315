"""The asset graph of flight_delay: the snapshot, and what every asset must say of itself."""

import difflib

import pytest
from dagster import AssetKey, StaticPartitionsDefinition

from mlplatform.offline import project
from mlplatform.offline.assets._package import CHECKS
from mlplatform_tests.graph import snapshot

STAGES = (
    "ingestion",
    "preparation",
    "segregation",
    "training",
    "evaluation",
    "deployment",
    "scoring",
    "monitoring",
)
KEYS = snapshot.keys("flight_delay")
RENEW = "python -m mlplatform_tests.graph.snapshot"


def test_the_graph_is_the_one_that_was_agreed() -> None:
    expected, got = snapshot.FILE.read_text(), snapshot.text()
    difference = difflib.unified_diff(
        expected.splitlines(), got.splitlines(), "agreed", "now", lineterm="", n=6
    )
    assert got == expected, (
        "\nThe asset graph of flight_delay has changed:\n"
        + "\n".join(difference)
        + f"\nIf that is meant, renew the file and look at its diff:  {RENEW}\n"
    )


def test_the_stages_are_the_groups() -> None:
    graph = snapshot.graph().resolve_asset_graph()
    assert {graph.get(key).group_name for key in KEYS} == {f"flight_delay_{stage}" for stage in STAGES}


def test_data_flows_one_way_through_the_stages() -> None:
    graph = snapshot.graph().resolve_asset_graph()

    def place(key: AssetKey) -> int:
        return STAGES.index(str(graph.get(key).group_name).removeprefix("flight_delay_"))

    back = [
        (parent, key) for key in KEYS for parent in graph.get(key).parent_keys if place(parent) > place(key)
    ]
    assert back == []


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.path[-1])
class TestEveryAsset:
    def test_says_what_it_is(self, key: AssetKey) -> None:
        node = snapshot.graph().resolve_asset_graph().get(key)
        assert node.owners == ["team:flights"]
        assert node.kinds
        assert len(node.description or "") > 40
        assert node.group_name != "default"

    def test_is_versioned_and_filled_by_single_runs_or_one_by_one(self, key: AssetKey) -> None:
        definition = snapshot.graph().resolve_assets_def(key)
        if key.path[-1] == "raw_flight_events":  # filled by the online ingestion service
            assert not definition.is_executable
            return
        assert definition.code_versions_by_key[key]
        assert definition.backfill_policy is not None
        alone = isinstance(definition.partitions_def, StaticPartitionsDefinition)
        assert definition.backfill_policy.max_partitions_per_run == (1 if alone else None)


def test_every_check_says_what_it_checks() -> None:
    graph = snapshot.graph().resolve_asset_graph()
    checks = {
        key.name: graph.get_check_spec(key).description
        for key in graph.asset_check_keys
        if key.asset_key in KEYS
    }
    named = {"contract", "condition", "no_leakage", "better_than_rate_table", "served_parity"}
    assert set(checks) == named | set(CHECKS)
    assert all(checks.values())


def test_the_sensors_are_there_and_on() -> None:
    sensors = {sensor.name: sensor.default_status.value for sensor in snapshot.graph().sensors or ()}
    assert sensors.items() >= {
        ("flight_delay_source_data_available", "RUNNING"),
        ("flight_delay_raw_data_extracted", "RUNNING"),
        ("flight_delay_features_due", "RUNNING"),
        ("flight_delay_features_generated", "RUNNING"),
        ("flight_delay_model_ready_for_deployment", "RUNNING"),
        ("flight_delay_scoring_completed", "RUNNING"),
        ("flight_delay_deployment_changed", "RUNNING"),
        ("flight_delay_streams_archived", "RUNNING"),
        ("flight_delay_training_changed", "RUNNING"),
    }


@pytest.mark.parametrize("what", ["promote", "rollback", "canary", "shadow"])
def test_a_deployment_is_changed_by_one_click(what: str) -> None:
    job = snapshot.graph().resolve_job_def(f"{what}_flight_delay")
    assert job.description


def test_a_training_is_scheduled() -> None:
    schedules = {each.name: each.default_status.value for each in snapshot.graph().schedules or ()}
    assert schedules["flight_delay_training"] == "RUNNING"


@pytest.mark.parametrize("use_case", project.use_cases(project.BUILT_IN))
def test_every_use_case_of_the_package_ends_in_scores(use_case: str) -> None:
    names = {key.path[-1] for key in snapshot.keys(use_case)}
    assert {"features", "split", "champion", "package", "release", "scores", "drift_report"} <= names
    label = project.load(project.BUILT_IN / use_case).config.label
    assert ("performance" in names) is (label is not None)
