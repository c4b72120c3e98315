"""What starts a training by itself, as of which date, and that nothing does where nothing is to be learned.

Sensors and schedules are asked as the daemon asks them, on an event log that says what is there.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import polars as pl
import pytest
from dagster import (
    AssetMaterialization,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    Definitions,
    RunRequest,
    SkipReason,
    build_schedule_context,
    build_sensor_context,
)
from dagster._core.test_utils import create_run_for_test

from mlplatform.crosscutting.bus import open_bus
from mlplatform.crosscutting.bus.topics import FEATURES_GENERATED
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import ConfigurationError
from mlplatform.offline import project
from mlplatform.offline.assets._shared import key
from mlplatform.offline.declared import Declared
from mlplatform.offline.messages import generated
from mlplatform.offline.run_tags import PROCESS_TAG, REASON_TAG, TRIGGER_TAG
from mlplatform.offline.training_due import newest_date, training_assets
from mlplatform.offline.use_case import definitions
from mlplatform.stores.lake import Lake
from mlplatform_tests.crosscutting.brokers import Broker
from mlplatform_tests.small import world

AS_OF, REACH = "2025-03-14", "2025-03-20"
"""The declared date, and the last day of its split: three days validate, four test."""
TRAINING = """
  training:
    schedule: "0 3 1 * *"
    features_generated: { every_days: 7 }
    drift: { psi: 0.25, features: 2 }
    changed: true

  evaluators"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@dataclass
class Tick:
    """What a sensor answered."""

    requests: list[RunRequest]
    skipped: str

    @property
    def dates(self) -> list[str | None]:
        return [request.partition_key for request in self.requests]

    @property
    def assets(self) -> set[str]:
        return {asset.path[-1] for request in self.requests for asset in request.asset_selection or ()}

    @property
    def reason(self) -> str:
        (request,) = self.requests
        return request.tags[REASON_TAG]


@dataclass
class Deployment:
    """The small use case with its triggers, and an event log that is told what is there."""

    folder: Path
    settings: Settings
    instance: DagsterInstance
    cursors: dict[str, str | None] = field(default_factory=dict)
    loaded: dict[str, tuple[Declared, Definitions]] = field(default_factory=dict)

    @property
    def declared(self) -> Declared:
        return self._loaded()[0]

    @property
    def defs(self) -> Definitions:
        return self._loaded()[1]

    def _loaded(self) -> tuple[Declared, Definitions]:
        """As Dagster has it: loaded anew once a file has changed."""
        text = "".join((self.folder / name).read_text() for name in ("defs.yaml", "features.py"))
        if text not in self.loaded:
            declared = project.load(self.folder)
            self.loaded[text] = declared, definitions(declared, self.settings)
        return self.loaded[text]

    def edit(self, old: str, new: str) -> None:
        world.edit(self.folder / "defs.yaml", old, new)

    def has(self, name: str, *partitions: str) -> None:
        """An asset's partitions were made by the present version."""
        defs = self.defs
        asset = key(self.declared, name)
        version = str(defs.resolve_assets_def(asset).code_versions_by_key[asset])
        for partition in partitions:
            tags = {"dagster/code_version": version}
            self.instance.report_runless_asset_event(
                AssetMaterialization(asset, partition=partition, tags=tags)
            )

    def has_features(self, last: str = REACH, first: str = "2025-03-01") -> None:
        self.has("features", *(day for day in self.declared.days() if first <= day <= last))

    def is_trained(self, date: str = AS_OF) -> None:
        for asset in training_assets(self.declared):
            self.has(asset.path[-1], date)

    def tick(self, trigger: str) -> Tick:
        defs = self.defs
        sensor = defs.resolve_sensor_def(f"{world.NAME}_training_{trigger}")
        cursor = self.cursors.get(trigger)
        with build_sensor_context(self.instance, cursor=cursor, definitions=defs) as context:
            found = sensor.evaluate_tick(context)
        self.cursors[trigger] = found.cursor
        return Tick(list(found.run_requests or []), found.skip_message or "")

    def clock(self) -> RunRequest | SkipReason:
        defs = self.defs
        with build_schedule_context(
            self.instance,
            scheduled_execution_time=datetime(2025, 6, 1, 3, tzinfo=UTC),
            repository_def=defs.get_repository_def(),
        ) as context:
            found = defs.resolve_schedule_def(f"{world.NAME}_training").evaluate_tick(context)
        return found.run_requests[0] if found.run_requests else SkipReason(found.skip_message)

    def drift(self, month: str, psi: dict[str, float | None], past: float = 0.0) -> None:
        """A drift report of a month is stored; with `past`, beyond which one and a half times is drift."""
        rows = [{"feature": name, "psi": value, "partition_key": month} for name, value in psi.items()]
        with closing(Lake.from_settings(self.settings)) as lake:
            frame = pl.DataFrame(rows, schema_overrides={"psi": pl.Float64})
            if past:
                drifted = pl.col("psi") > 1.5 * past
                frame = frame.with_columns(past_psi=pl.lit(past), drifted=drifted)
            lake.write(self.declared.table("drift_report"), frame, [month], evolve=True)
        self.has("drift_report", month)


@pytest.fixture
def deployment(tmp_path: Path, broker: Broker) -> Iterator[Deployment]:
    folder = world.make_use_case(tmp_path)
    world.edit(folder / "defs.yaml", "2025-04-08", AS_OF)
    world.edit(folder / "defs.yaml", "validation: 10d, test: 2w", "validation: 3d, test: 4d")
    world.edit(folder / "defs.yaml", "\n  evaluators", TRAINING)
    settings = Settings.load({"MLPLATFORM_HOME": str(tmp_path / "home"), "MLPLATFORM_BROKER_URL": broker.url})
    (tmp_path / "dagster").mkdir()
    with DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:
        yield Deployment(folder, settings, instance)


EVERY = ("features", "drift", "changed")


class TestNothingStartsWithoutGround:
    def test_no_trigger_is_there_unless_it_is_declared(self, deployment: Deployment) -> None:
        deployment.edit(TRAINING.removesuffix("\n  evaluators"), "")
        defs = deployment.defs
        assert [s.name for s in defs.sensors or () if "training" in s.name] == []
        assert [s.name for s in defs.schedules or () if "training" in s.name] == []

    def test_declared_ones_are_on(self, deployment: Deployment) -> None:
        defs = deployment.defs
        on = {s.name: s.default_status.value for s in [*(defs.sensors or ()), *(defs.schedules or ())]}
        assert on.items() >= {(f"{world.NAME}_training_{name}", "RUNNING") for name in EVERY}
        assert on[f"{world.NAME}_training"] == "RUNNING"

    def test_nothing_is_trained_before_the_first_run(self, deployment: Deployment) -> None:
        for last in ("2025-02-28", REACH):  # no features at all, then all that a training needs
            deployment.has_features(last)
            announce(deployment, REACH)
            deployment.drift("2025-03-01", {"weight": 9.0, "packers": 9.0})
            for trigger in EVERY:
                tick = deployment.tick(trigger)
                assert tick.requests == []
                assert "mlplatform run" in tick.skipped
            assert isinstance(deployment.clock(), SkipReason)

    def test_nothing_is_trained_on_features_of_another_version(self, deployment: Deployment) -> None:
        deployment.has_features()
        deployment.is_trained()
        world.edit(deployment.folder / "features.py", '"mean", "3d", "late"', '"mean", "2d", "late"')
        tick = deployment.tick("changed")
        assert tick.requests == []
        assert "another version" in tick.skipped
        deployment.has_features()
        assert deployment.tick("changed").dates == [AS_OF]

    def test_nothing_is_trained_while_a_run_is_at_work(self, deployment: Deployment) -> None:
        deployment.has_features()
        deployment.is_trained()
        deployment.edit("max_depth: 4", "max_depth: 5")
        ended = subprocess.Popen(["true"])
        ended.wait()
        killed = started(deployment, ended.pid)
        assert deployment.tick("changed").dates == [AS_OF]
        run = started(deployment, os.getpid())
        tick = deployment.tick("changed")
        assert (tick.requests, tick.skipped) == ([], f"Run {run.run_id[:8]} is at work.")
        assert killed.run_id != run.run_id
        deployment.instance.report_run_failed(run)
        assert deployment.tick("changed").dates == [AS_OF]


def started(deployment: Deployment, process: int) -> DagsterRun:
    """A run in the foreground that this process began and did not end."""
    tags = {PROCESS_TAG: str(process)}
    run: DagsterRun = create_run_for_test(deployment.instance, tags=tags, status=DagsterRunStatus.STARTED)
    return run


class TestTheDate:
    @pytest.mark.parametrize(
        ("last", "expected"),
        [("2025-03-19", None), (REACH, AS_OF), ("2025-03-25", "2025-03-19"), ("2025-04-29", "2025-04-23")],
    )
    def test_is_the_newest_whose_split_has_all_its_days(
        self, deployment: Deployment, last: str, expected: str | None
    ) -> None:
        declared = deployment.declared
        assert newest_date(declared, [day for day in declared.days() if day <= last]) == expected

    def test_few_days_may_lack_features(self, deployment: Deployment) -> None:
        days = deployment.declared.days()[:40]
        assert newest_date(deployment.declared, days) == "2025-04-03"
        assert newest_date(deployment.declared, [*days[:20], *days[22:]]) == "2025-04-03"
        assert newest_date(deployment.declared, [*days[:20], *days[23:]]) is None
        assert newest_date(deployment.declared, [days[-1]]) is None
        assert newest_date(deployment.declared, []) is None

    def test_the_declared_one_makes_do_with_the_days_there_are(self, deployment: Deployment) -> None:
        deployment.edit(f"as_of: {AS_OF}", "as_of: 2025-04-25")
        declared = deployment.declared
        assert newest_date(declared, declared.days()) == "2025-04-25"
        assert newest_date(declared, declared.days()[:-4]) is None

    def test_of_a_split_that_heeds_none_is_the_last_day_there(self, deployment: Deployment) -> None:
        deployment.edit("strategy: by_time", "strategy: random")
        deployment.edit("options: { validation: 3d, test: 4d }", "options: { validation: 0.2, test: 0.2 }")
        declared = deployment.declared
        assert newest_date(declared, declared.days()[:40]) == declared.days()[39]


class TestSchedule:
    def test_trains_what_is_new_and_nothing_else(self, deployment: Deployment) -> None:
        deployment.has_features()
        deployment.is_trained()
        skipped = deployment.clock()
        assert isinstance(skipped, SkipReason)
        assert skipped.skip_message == f"Nothing is new for a training as of {AS_OF}."
        deployment.has_features(first=REACH)
        corrected = deployment.clock()
        assert isinstance(corrected, RunRequest)
        assert corrected.partition_key == AS_OF
        assert "features are newer" in corrected.tags[REASON_TAG]
        deployment.has_features(last="2025-03-25")
        asked = deployment.clock()
        assert isinstance(asked, RunRequest)
        assert (asked.partition_key, asked.tags[TRIGGER_TAG]) == ("2025-03-19", "schedule")
        assert set(asked.asset_selection or ()) == set(training_assets(deployment.declared))
        assert asked.run_key == corrected.run_key

    def test_a_time_that_is_none_is_refused(self, deployment: Deployment) -> None:
        deployment.edit("0 3 1 * *", "0 3 32 * *")
        with pytest.raises(ConfigurationError, match=r"training\.schedule is '0 3 32"):
            _ = deployment.defs


def announce(deployment: Deployment, *days: str) -> None:
    """Publish that features of days are there."""
    with closing(open_bus(deployment.settings.broker_url)) as bus:
        for day in days:
            message = generated(deployment.declared, day, uuid4().hex, 60)
            bus.publish(FEATURES_GENERATED, message)


class TestFeatures:
    def test_a_step_of_days_is_trained_once(self, deployment: Deployment) -> None:
        deployment.has_features("2025-03-26")
        deployment.is_trained()
        announce(deployment, "2025-03-26")
        tick = deployment.tick("features")
        assert tick.requests == []
        assert "do not reach 7 days beyond" in tick.skipped
        deployment.has_features("2025-03-29")
        announce(deployment, *(f"2025-03-{day}" for day in range(27, 30)))
        first = deployment.tick("features")
        assert first.dates == ["2025-03-21"]
        assert first.assets == {asset.path[-1] for asset in training_assets(deployment.declared)}
        announce(deployment, "2025-03-28")
        assert deployment.tick("features").requests[0].run_key == first.requests[0].run_key
        deployment.is_trained("2025-03-21")
        announce(deployment, "2025-03-29")
        assert deployment.tick("features").requests == []

    def test_without_a_message_nothing_is_asked_and_none_is_lost(self, deployment: Deployment) -> None:
        deployment.has_features("2025-03-29")
        announce(deployment, "2025-03-29")
        assert deployment.tick("features").requests == []
        deployment.is_trained()
        assert deployment.tick("features").dates == ["2025-03-21"]
        tick = deployment.tick("features")
        assert (tick.requests, tick.skipped) == ([], "0 new messages, none of new features.")

    def test_messages_of_another_use_case_start_nothing(self, deployment: Deployment) -> None:
        deployment.has_features("2025-03-29")
        deployment.is_trained()
        deployment.tick("features")
        folder = world.make_use_case(deployment.folder.parent / "other")
        folder = folder.rename(folder.with_name("other_orders"))
        theirs = Deployment(folder, deployment.settings, deployment.instance)
        announce(theirs, "2025-03-29")
        assert deployment.tick("features").requests == []

    def test_a_broker_that_is_away_is_said(self, deployment: Deployment) -> None:
        deployment.settings = Settings.load(
            {"MLPLATFORM_HOME": str(deployment.settings.home), "MLPLATFORM_BROKER_URL": "nats://127.0.0.1:9"}
        )
        assert "nats://127.0.0.1:9" in deployment.tick("features").skipped


class TestDrift:
    @pytest.fixture
    def moved(self, deployment: Deployment) -> Deployment:
        """Trained, and features of later days are there."""
        deployment.has_features()
        deployment.is_trained()
        deployment.has_features("2025-03-25")
        return deployment

    def test_beyond_the_limit_asks_for_one_run_with_the_reason(self, moved: Deployment) -> None:
        moved.drift("2025-03-01", {"weight": 0.3, "packers": 0.9, "weekday": 0.1, "warehouse": None})
        tick = moved.tick("drift")
        assert tick.dates == ["2025-03-19"]
        assert tick.reason == (
            "in 2025-03 2 of 3 features have a PSI of 0.25 or more, most of all packers, weight"
        )
        assert moved.tick("drift").skipped == "No new drift report."
        moved.drift("2025-03-01", {"weight": 0.5, "packers": 0.5})
        assert moved.tick("drift").requests[0].run_key == tick.requests[0].run_key

    def test_below_the_limit_asks_for_none(self, moved: Deployment) -> None:
        moved.drift("2025-03-01", {"weight": 0.24, "packers": 0.9, "weekday": None})
        tick = moved.tick("drift")
        assert tick.requests == []
        assert "fewer features have drifted" in tick.skipped

    def test_a_share_counts_features_that_have_a_figure(self, moved: Deployment) -> None:
        moved.edit("features: 2", "share: 0.5")
        moved.drift("2025-03-01", {"a": 0.3, "b": 0.1, "c": 0.2, "d": None})
        assert moved.tick("drift").requests == []
        moved.drift("2025-03-01", {"a": 0.3, "b": 0.1, "d": None})
        assert moved.tick("drift").dates == ["2025-03-19"]

    def test_the_newest_month_decides(self, moved: Deployment) -> None:
        moved.drift("2025-04-01", {"a": 0.1, "b": 0.1})
        moved.drift("2025-03-01", {"a": 0.9, "b": 0.9})
        assert "In 2025-04" in moved.tick("drift").skipped

    def test_against_the_past_only_what_goes_beyond_it_is_drift(self, moved: Deployment) -> None:
        moved.edit("psi: 0.25", "against: past")
        moved.drift("2025-03-01", {"a": 0.9, "b": 0.9})  # by a version that knew no past
        assert moved.tick("drift").requests == []
        moved.drift("2025-03-01", {"a": 0.9, "b": 0.9, "c": None}, past=0.8)
        assert moved.tick("drift").requests == []
        moved.drift("2025-03-01", {"a": 0.3, "b": 0.4, "c": 0.1}, past=0.15)
        tick = moved.tick("drift")
        assert tick.dates == ["2025-03-19"]
        assert tick.reason == (
            "in 2025-03 2 of 3 features lie further from the reference than in any window before, "
            "most of all b, a"
        )

    def test_where_nothing_new_can_be_learned_nothing_is(self, deployment: Deployment) -> None:
        deployment.has_features()
        deployment.is_trained()
        deployment.drift("2025-03-01", {"a": 0.9, "b": 0.9})
        tick = deployment.tick("drift")
        assert tick.requests == []
        assert "nothing is new for a training as of 2025-03-14" in tick.skipped


class TestChange:
    def test_only_the_changed_model_is_trained_and_all_are_judged(self, deployment: Deployment) -> None:
        deployment.has_features()
        deployment.is_trained()
        assert deployment.tick("changed").requests == []
        deployment.edit("max_depth: 4", "max_depth: 5")
        tick = deployment.tick("changed")
        assert tick.dates == [AS_OF]
        after = {"champion", "package", "release"}
        assert tick.assets == {"candidate_decision_tree", "evaluation_decision_tree", *after}
        assert tick.reason == "code or configuration of decision_tree changed"
        again = deployment.tick("changed")
        assert again.requests[0].run_key == tick.requests[0].run_key
        deployment.edit("max_depth: 5", "max_depth: 6")
        assert deployment.tick("changed").requests[0].run_key != tick.requests[0].run_key
        deployment.is_trained()
        assert deployment.tick("changed").requests == []

    def test_a_change_of_a_use_case_with_newer_features_trains_all_as_of_the_newest_date(
        self, deployment: Deployment
    ) -> None:
        deployment.has_features()
        deployment.is_trained()
        deployment.has_features("2025-03-25")
        assert deployment.tick("changed").requests == []
        deployment.edit("max_iter: 200", "max_iter: 100")
        tick = deployment.tick("changed")
        assert tick.dates == ["2025-03-19"]
        assert tick.assets == {asset.path[-1] for asset in training_assets(deployment.declared)}
        assert tick.reason == "code or configuration of logistic_regression changed"

    def test_the_rule_is_no_model(self, deployment: Deployment) -> None:
        deployment.has_features()
        deployment.is_trained()
        deployment.edit("metric: log_loss", "metric: brier")
        assert deployment.tick("changed").requests == []


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("drift: { psi: 0.2 }", "has neither of share and features; allowed: one of them"),
        ("drift: { share: 0.2, features: 3 }", "has both of share and features"),
        ("drift: { psi: 0, share: 0.2 }", "greater than 0"),
        ("features_generated: { every_days: 0 }", "greater than or equal to 1"),
        ("schedule: monthly", "pattern"),
        ("retries: { most: -1 }", "greater than or equal to 0"),
        ("when: [drift]", "unknown key"),
    ],
)
def test_a_section_that_cannot_be_meant_is_refused(tmp_path: Path, section: str, said: str) -> None:
    folder = world.make_use_case(tmp_path)
    world.edit(folder / "defs.yaml", "\n  evaluators", f"\n  training:\n    {section}\n\n  evaluators")
    with pytest.raises(ConfigurationError, match=said):
        project.load(folder)
