"""A run's worker is killed with -9 under a real daemon: the run is failed, retried once, and only once."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus

from mlplatform.crosscutting.processes import ProcessSpec, Supervisor
from mlplatform.crosscutting.settings import Settings
from mlplatform.offline.instance import prepare_instance

T = TypeVar("T")
pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "marks").mkdir()
    return tmp_path


@pytest.fixture
def instance(home: Path) -> Iterator[DagsterInstance]:
    folder = prepare_instance(Settings.load({"MLPLATFORM_HOME": str(home)}))
    with DagsterInstance.from_config(str(folder)) as instance:
        yield instance


def test_a_killed_worker_is_failed_and_retried(home: Path, instance: DagsterInstance) -> None:
    daemon = _daemon(home)
    daemon.start()
    try:
        worker = _until(lambda: _marks(home))[0]
        killed = time.monotonic()
        os.kill(worker, signal.SIGKILL)
        _until(lambda: _of(instance, DagsterRunStatus.FAILURE))
        failed = time.monotonic() - killed
        _until(lambda: len(_marks(home)) == 2)
        retried = time.monotonic() - killed
        _until(lambda: _of(instance, DagsterRunStatus.SUCCESS))
        print(f"\nfailed after {failed:.1f} s, at work again after {retried:.1f} s")
        time.sleep(12)  # two more rounds of every daemon
    finally:
        daemon.stop()
    assert len(instance.get_runs()) == 2
    assert _of(instance, DagsterRunStatus.SUCCESS)[0].parent_run_id


def test_when_all_was_killed_the_next_daemon_retries(home: Path, instance: DagsterInstance) -> None:
    daemon = _daemon(home)
    daemon.start()
    worker = _until(lambda: _marks(home))[0]
    _until(lambda: "mlplatform/worker" in instance.get_runs()[0].tags)
    group = os.getpgid(worker)
    os.killpg(group, signal.SIGKILL)  # daemon, code server and worker at once
    daemon.stop()
    assert _of(instance, DagsterRunStatus.STARTED)
    daemon, begun = _daemon(home), time.monotonic()
    daemon.start()
    try:
        _until(lambda: _of(instance, DagsterRunStatus.FAILURE))
        failed = time.monotonic() - begun
        _until(lambda: _of(instance, DagsterRunStatus.SUCCESS))
        retried = time.monotonic() - begun
        print(f"\nfailed {failed:.1f} s after the start, done again after {retried:.1f} s")
    finally:
        daemon.stop()
    assert len(instance.get_runs()) == 2


def _daemon(home: Path) -> Supervisor:
    return Supervisor(
        [
            ProcessSpec(
                name="daemon",
                command=(
                    *(sys.executable, "-m", "dagster._daemon", "run"),
                    *("-m", "mlplatform_tests.faults.sleeping"),
                ),
                log=home / "daemon.log",
                environment={
                    "DAGSTER_HOME": str(home / "dagster"),
                    "MLPLATFORM_HOME": str(home),
                    "MARKS": str(home / "marks"),
                    "PYTHONWARNINGS": "ignore",
                },
            )
        ]
    )


def _marks(home: Path) -> list[int]:
    return [int(path.read_text()) for path in (home / "marks").iterdir()]


def _of(instance: DagsterInstance, status: DagsterRunStatus) -> list[DagsterRun]:
    return [run for run in instance.get_runs() if run.status == status]


def _until(look: Callable[[], T], seconds: float = 90.0) -> T:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.1)
    return found
