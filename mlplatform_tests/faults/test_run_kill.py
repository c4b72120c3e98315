"""kill -9 of `mlplatform run` at random moments, then run again: the tables of an undisturbed run.

Compared are all rows of all tables but for `world.RUN_DEPENDENT`, the champion's history, and that Dagster
takes no killed run for a running one.
"""

import random
from contextlib import closing
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRunStatus

from mlplatform.crosscutting.settings import Settings
from mlplatform.stores.champions import ChampionStore
from mlplatform_tests.conftest import Finished
from mlplatform_tests.small import world
from mlplatform_tests.small.zygote import Ended, Zygote

KILLED = -9


class Project:
    """A project whose runs are killed, and what an undisturbed run left in another home."""

    def __init__(self, finished: Finished, folder: Path, command: Zygote) -> None:
        self._finished, self._folder, self._command = finished, folder, command
        self._seconds = float(world.one_object(finished.first_run.stdout)["seconds"])

    def home(self, name: str) -> Path:
        return self._folder / f"home-{name}"

    def run(self, home: Path, kill_after: float | None = None) -> Ended:
        return self._command.run(
            "run", world.NAME, "--json", home=home, cwd=self._finished.project, kill_after=kill_after
        )

    def kill_again_and_again(self, name: str, kills: int, chance: random.Random) -> list[Path]:
        """Kill run after run of a home, each somewhere in a part of what a whole one takes; of another home
        when one is done before all kills are. Returns the homes that were killed."""
        homes, killed = [self.home(f"{name}-0")], 0
        while killed < kills:
            ended = self.run(homes[-1], kill_after=chance.uniform(0.02, 2 / kills) * self._seconds)
            assert ended.returncode in (KILLED, 0), ended.stderr
            if ended.returncode == KILLED:
                killed += 1
            elif killed < kills:
                homes.append(self.home(f"{name}-{len(homes)}"))
        return homes

    def check(self, home: Path) -> None:
        """Run to the end: the tables, the history and the runs are those of an undisturbed run."""
        last = self.run(home)
        assert last.returncode == 0, last.stderr
        world.assert_same_tables(world.tables(home), world.tables(self._finished.home))
        assert history(home) == history(self._finished.home)
        assert unfinished_runs(home) == []


def history(home: Path) -> list[tuple[int, str, str]]:
    with closing(ChampionStore(Settings.load({"MLPLATFORM_HOME": str(home)}).state_url)) as store:
        return [(release.version, release.model, release.digest) for release in store.history(world.NAME)]


def unfinished_runs(home: Path) -> list[DagsterRunStatus]:
    """Runs that Dagster still takes for running; a killed one must be marked as failed."""
    over = {DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLPLATFORM_HOME", str(home))
        with DagsterInstance.from_config(str(home / "dagster")) as instance:
            return [run.status for run in instance.get_runs() if run.status not in over]


@pytest.fixture
def project(finished: Finished, tmp_path: Path, mlplatform: Zygote) -> Project:
    assert finished.first_run.returncode == 0, finished.first_run.stderr
    return Project(finished, tmp_path, mlplatform)


@pytest.mark.slow
def test_two_kills(project: Project) -> None:
    for home in project.kill_again_and_again("killed", 2, random.Random(5)):
        project.check(home)
    again = world.one_object(project.run(home).stdout)
    assert [step["assets_materialised"] for step in again["steps"]] == [0] * len(again["steps"])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_twenty_kills_of_five_homes(project: Project, seed: int) -> None:
    for home in project.kill_again_and_again(f"seed-{seed}", 4, random.Random(seed)):
        project.check(home)
