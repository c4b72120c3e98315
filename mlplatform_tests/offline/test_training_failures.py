"""A model that fails: what is tried again, what goes on without it, and what the next run trains.

Each on a real Dagster instance and lake: daily data and features once, the training for each test.
"""

import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from dagster import (
    DagsterEventType,
    DagsterInstance,
    DagsterRunStatus,
    RunsFilter,
)

from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import ModelError, NotFound, StoreError
from mlplatform.offline import project
from mlplatform.offline.assets._shared import key
from mlplatform.offline.declared import Declared
from mlplatform.offline.plan import missing, steps
from mlplatform.offline.retries import passes
from mlplatform.offline.run import instance_of, materialise
from mlplatform.offline.summary import champion_of
from mlplatform.offline.use_case import definitions
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.lake import Lake
from mlplatform_tests.small import world
from mlplatform_tests.small.failing_model import attempts, fail

AS_OF = "2025-03-14"
MODELS = ("rate_table", "decision_tree", "moody")
CANDIDATES = ("split", "candidate_moody", "candidate_rate_table")
LOGISTIC = """\
    logistic_regression:
      type: logistic_regression
      params: { max_iter: 200 }
"""
MOODY = """\
    moody:
      type: mlplatform_tests.small.failing_model
      params: {{ file: {file} }}

  training:
    retries: {{ most: 2, wait: 0 }}

  evaluators"""


class Deployment:
    """The small use case with a fourth model that fails as told, in a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.moods = folder, folder / "moods"
        self.settings = Settings.load({"MLPLATFORM_HOME": str(folder / "home")})

    @property
    def declared(self) -> Declared:
        return project.load(self.folder / world.NAME)

    def train(self, *assets: str) -> None:
        """What `mlplatform run` does for the training, or for some of its assets only."""
        step = steps(self.declared)[2]
        if assets:
            step = replace(step, assets=tuple(key(self.declared, name) for name in assets))
        materialise(self.declared, self.settings, [step])

    def lacking(self) -> set[str]:
        """The assets of the training that are not there as declared."""
        defs = definitions(self.declared, self.settings)
        with self.instance() as instance:
            rest = missing(steps(self.declared)[2], defs, instance)
        return {asset.path[-1] for asset in rest.assets} if rest else set()

    def candidate(self, model: str) -> dict[str, object]:
        """The row of a candidate in the lake."""
        with closing(Lake.from_settings(self.settings)) as lake:
            table = lake.read(self.declared.table(f"candidate_{model}"), partitions=[AS_OF])
        (row,) = table.to_dicts()
        return row

    def steps_of(self, model: str) -> list[DagsterEventType]:
        """What happened to a candidate in all runs, the oldest first."""
        key = f"{world.NAME}__candidate_{model}"
        told = (
            DagsterEventType.STEP_UP_FOR_RETRY,
            DagsterEventType.STEP_SUCCESS,
            DagsterEventType.STEP_FAILURE,
        )
        with self.instance() as instance:
            runs = reversed(instance.get_runs())
            events = [
                record.event_log_entry.get_dagster_event()
                for run in runs
                for record in instance.get_records_for_run(run.run_id, of_type=set(told)).records
            ]
        return [event.event_type for event in events if event.step_key == key]

    def instance(self) -> DagsterInstance:
        return DagsterInstance.from_config(str(self.settings.dagster_home))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with features and no model."""
    folder = tmp_path_factory.mktemp("prepared")
    made = world.make_use_case(folder, short=True)
    world.edit(made / "defs.yaml", LOGISTIC, "")
    world.edit(made / "defs.yaml", "\n  evaluators", "\n" + MOODY.format(file=folder / "moods"))
    deployment = Deployment(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLPLATFORM_HOME", str(deployment.settings.home))
        materialise(deployment.declared, deployment.settings, steps(deployment.declared)[:2])
    return folder


@pytest.fixture
def deployment(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """A copy of it that a test may change."""
    folder = tmp_path / "project"
    shutil.copytree(prepared, folder)
    world.edit(folder / world.NAME / "defs.yaml", str(prepared / "moods"), str(folder / "moods"))
    monkeypatch.setenv("MLPLATFORM_HOME", str(folder / "home"))
    return Deployment(folder)


RETRY, FAILURE, SUCCESS = (
    DagsterEventType.STEP_UP_FOR_RETRY,
    DagsterEventType.STEP_FAILURE,
    DagsterEventType.STEP_SUCCESS,
)


def test_a_store_that_fails_twice_is_tried_again(deployment: Deployment) -> None:
    fail(deployment.moods, "StoreError", 2)
    deployment.train(*CANDIDATES)
    assert attempts(deployment.moods) == 3
    assert deployment.steps_of("moody") == [RETRY, RETRY, SUCCESS]
    assert deployment.steps_of("rate_table") == [SUCCESS]
    digest = str(deployment.candidate("moody")["digest"])
    stored = CandidateStore(deployment.settings.candidates).get(world.NAME, digest)
    assert stored.metadata.retries == 2


@pytest.mark.parametrize("error", ["ConfigurationError", "ValueError"])
def test_what_stays_wrong_is_not_tried_again(deployment: Deployment, error: str) -> None:
    fail(deployment.moods, error, 1)
    with pytest.raises(Exception, match="as the file says"):
        deployment.train(*CANDIDATES)
    assert attempts(deployment.moods) == 1
    assert deployment.steps_of("moody") == [FAILURE]
    assert deployment.steps_of("rate_table") == [SUCCESS]


def test_a_store_that_does_not_come_back_is_the_error_itself(deployment: Deployment) -> None:
    fail(deployment.moods, "OSError", 9)
    with pytest.raises(OSError, match="as the file says"):
        deployment.train(*CANDIDATES)
    assert attempts(deployment.moods) == 3
    assert deployment.steps_of("moody") == [RETRY, RETRY, FAILURE]


def test_other_models_are_trained_and_judged_and_the_next_run_trains_only_the_failed_one(
    deployment: Deployment,
) -> None:
    fail(deployment.moods, "ModelError", 1)
    with pytest.raises(ModelError, match="as the file says"):
        deployment.train()
    assert deployment.lacking() == {"candidate_moody", "evaluation_moody", "champion", "package", "release"}
    before = {model: deployment.candidate(model) for model in MODELS if model != "moody"}
    deployment.train()
    assert deployment.lacking() == set()
    assert {model: deployment.candidate(model) for model in before} == before
    assert deployment.steps_of("moody") == [FAILURE, SUCCESS]
    assert all(deployment.steps_of(model) == [SUCCESS] for model in before)
    with closing(Lake.from_settings(deployment.settings)) as lake:
        (winner,) = lake.read(deployment.declared.table("package")).filter(role="winner").to_dicts()
    assert (winner["fault"], winner["gate"].partition(":")[0]) == ("", "above_baselines")
    assert champion_of(world.NAME, deployment.settings) is None


def test_a_launched_run_goes_on_by_itself(deployment: Deployment) -> None:
    """As the daemon runs it: errors are not raised, and the run is one."""
    fail(deployment.moods, "ModelError", 1)
    declared = deployment.declared
    defs = definitions(declared, deployment.settings)
    with instance_of(deployment.settings) as instance:
        result = defs.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance,
            asset_selection=list(steps(declared)[2].assets),
            partition_key=AS_OF,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        failed = instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.FAILURE]))
    assert not result.success
    assert len(failed) == 1
    assert deployment.lacking() == {"candidate_moody", "evaluation_moody", "champion", "package", "release"}


@pytest.mark.slow
def test_two_trainings_make_the_same_candidates(deployment: Deployment) -> None:
    deployment.train(*CANDIDATES)
    models = ("rate_table", "moody")
    first = {model: deployment.candidate(model)["digest"] for model in models}
    with deployment.instance() as instance:
        for model in models:
            instance.wipe_assets([key(deployment.declared, f"candidate_{model}")])
    deployment.train(*CANDIDATES)
    assert {model: deployment.candidate(model)["digest"] for model in models} == first
    assert attempts(deployment.moods) == 2


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (StoreError("the lake is locked"), True),
        (OSError("no space"), True),
        (TimeoutError("slow"), True),
        (NotFound("no rows"), False),
        (ModelError("one class"), False),
        (KeyError("x"), False),
    ],
)
def test_which_errors_pass(error: Exception, expected: bool) -> None:
    assert passes(error) is expected
