"""The cluster of one training: spawned processes on this machine only, and gone afterwards."""

import os
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from mlplatform.errors import ConfigurationError, ServiceError
from mlplatform.offline.distributed.cluster import cluster


def spawned() -> tuple[str, str, int]:
    """How this process was started, its threads setting, and its parent."""
    return " ".join(psutil.Process().cmdline()), os.environ["OMP_NUM_THREADS"], os.getppid()


def test_workers_are_spawned_processes_of_one_thread(client: Any) -> None:
    assert list(client.nthreads().values()) == [1, 1]
    for command, threads, parent in client.run(spawned).values():
        assert "spawn_main" in command
        assert (threads, parent) == ("1", os.getpid())


def test_nothing_listens_beyond_this_machine(client: Any) -> None:
    pids = [os.getpid(), *client.run(os.getpid).values()]
    listening = [
        found.laddr.ip
        for pid in pids
        for found in psutil.Process(pid).net_connections("tcp")
        if found.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 3
    assert set(listening) == {"127.0.0.1"}


def test_an_existing_scheduler_is_used_and_left_running(client: Any) -> None:
    with cluster(client.scheduler.address, 2) as other:
        assert other.submit(sum, [1, 2]).result() == 3
    assert client.submit(sum, [3, 4]).result() == 7


def test_a_cluster_is_closed_when_training_fails() -> None:
    before = dict(os.environ)
    pids: list[int] = []

    def fail() -> None:
        with cluster("", 1) as own:
            pids.extend(own.run(os.getpid).values())
            own.submit(divmod, 1, 0).result()

    with pytest.raises(ZeroDivisionError):
        fail()
    assert len(pids) == 1
    assert not psutil.pid_exists(pids[0])
    assert dict(os.environ) == before


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="MLPLATFORM_DASK is 'smoke://host'"):
        cluster("smoke://host", 1).__enter__()


def test_too_few_workers_are_told(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlplatform.offline.distributed.cluster._START", 1)
    with pytest.raises(ServiceError, match="has 2 workers after 1 s; 3 are asked for"):
        cluster(client.scheduler.address, 3).__enter__()


def test_a_scheduler_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlplatform.offline.distributed.cluster._START", 1)
    with pytest.raises(ServiceError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9"):
        cluster("tcp://127.0.0.1:9", 1).__enter__()
