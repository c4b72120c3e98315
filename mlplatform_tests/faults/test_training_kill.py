"""kill -9 of a process that trains LightGBM: the next one goes on from its checkpoint, to the same bytes."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from dagster import DagsterInstance

from mlplatform.crosscutting.settings import Settings
from mlplatform.offline import project
from mlplatform.offline.assets._shared import key
from mlplatform.offline.plan import steps
from mlplatform.offline.run import materialise
from mlplatform.stages.training.candidate import Candidate
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.lake import Lake
from mlplatform_tests.faults.training_process import EVERY, ROUNDS, candidate, model, train
from mlplatform_tests.small import world

REPOSITORY = Path(__file__).parents[2]
AS_OF = "2025-03-14"
LIGHTGBM = """
    lightgbm:
      type: lightgbm
      params:
        num_iterations: 1000
        learning_rate: 0.002
        feature_fraction: 0.5
        bagging_fraction: 0.7
        bagging_freq: 1
        num_threads: 1
        checkpoint_every: 20

  evaluators"""


def start(*arguments: object, home: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mlplatform_tests.faults.training_process", *map(str, arguments)]
    return subprocess.Popen(command, cwd=REPOSITORY, env=world.environ(home))


def kill_once(process: subprocess.Popen[bytes], pattern: str, folder: Path) -> None:
    """Kill -9 as soon as there is a file of this pattern below the folder."""
    deadline = time.monotonic() + 240
    while not list(folder.glob(pattern)):
        assert process.poll() is None, "it ended by itself"
        assert time.monotonic() < deadline, "no such file came"
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL


def test_killed_twice_in_the_middle_the_third_process_makes_the_model_of_one_go(tmp_path: Path) -> None:
    for stand_after in (2, 4):
        kill_once(start("model", tmp_path, stand_after, home=tmp_path), "standing", tmp_path)
        (tmp_path / "standing").unlink()
        assert not (tmp_path / "model.txt").exists()
    model(tmp_path, stand_after=0)
    made = [int(step) for step in (tmp_path / "steps.txt").read_text().split()]
    assert made == list(range(7 * EVERY, ROUNDS + 1, EVERY))  # two blocks and four were made before
    assert (tmp_path / "model.txt").read_bytes() == train(None)


@pytest.fixture
def features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small use case with a long LightGBM; its features are there, and no model."""
    folder = world.make_use_case(tmp_path, short=True)
    world.edit(folder / "defs.yaml", "\n  evaluators", LIGHTGBM)
    monkeypatch.setenv("MLPLATFORM_HOME", str(tmp_path / "home"))
    declared = project.load(folder)
    materialise(declared, settings(tmp_path), steps(declared)[:2])
    return folder


def settings(project_folder: Path) -> Settings:
    return Settings.load({"MLPLATFORM_HOME": str(project_folder / "home")})


def stored(folder: Path) -> Candidate:
    """The candidate that the lake names."""
    of = settings(folder.parent)
    with closing(Lake.from_settings(of)) as lake:
        table = project.load(folder).table("candidate_lightgbm")
        digest = lake.read(table, partitions=[AS_OF])["digest"][0]
    return CandidateStore(of.candidates).get(world.NAME, digest)


@pytest.mark.slow
def test_a_killed_run_is_continued_by_the_next_and_stores_the_candidate_of_one_go(features: Path) -> None:
    home = features.parent / "home"
    kill_once(start("candidate", features, home, home=home), "**/*.checkpoint", home / "checkpoints")
    candidate(features, home)
    continued = stored(features)
    assert continued.metadata.resumed_at >= 20
    assert list(home.glob("checkpoints/**/*.checkpoint")) == []
    shutil.rmtree(home / "candidates")
    with DagsterInstance.from_config(str(home / "dagster")) as instance:
        instance.wipe_assets([key(project.load(features), "candidate_lightgbm")])
    candidate(features, home)
    whole = stored(features)
    assert whole.metadata.resumed_at == 0
    assert whole.digest == continued.digest
    assert whole.model_files == continued.model_files
