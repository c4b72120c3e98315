"""The real process: uvicorn on a port, from nothing to a swap, and ports that cannot be had."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from mlplatform.crosscutting.scoring_client import ScoringClient
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import RequestError, ServiceError
from mlplatform.online.server import listen, serve
from mlplatform_tests.online.world import USE_CASE, Trained, World, facts_of


def free_port() -> int:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return int(chosen.getsockname()[1])


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def server(tmp_path: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    environment = os.environ | {"MLPLATFORM_HOME": str(tmp_path), "MLPLATFORM_SCORING_PORT": str(port)}
    for name in ("MLPLATFORM_STATE_URL", "OMP_NUM_THREADS"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "mlplatform.online.server"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.wait()


def until(condition: object, what: str) -> None:
    """Wait until `condition()` is true."""
    assert callable(condition)
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def looked(client: ScoringClient) -> bool:
    """Whether the service answers and has looked for releases once."""
    try:
        return bool(client.status()["trouble"] == "")
    except ServiceError:
        return False


def version(client: ScoringClient) -> int:
    return int(client.status()["use_cases"].get(USE_CASE, {}).get("version", 0))


def test_from_nothing_to_a_swap(
    server: subprocess.Popen[str], port: int, tmp_path: Path, trained: Trained, other: Trained
) -> None:
    facts = facts_of(trained.frame.row(150, named=True))
    with ScoringClient(f"http://127.0.0.1:{port}") as client:
        until(lambda: looked(client), "it never answered")
        assert not client.is_ready()
        with pytest.raises(RequestError, match="got use case 'returns'; known: none yet") as caught:
            client.score(USE_CASE, facts)
        assert caught.value.status == 404
        world = World(tmp_path)
        world.write(trained.frame)
        world.promote(trained.candidate)
        until(client.is_ready, "the release was never taken up")
        assert client.ready() == "returns version 1"
        assert client.score(USE_CASE, facts)["score"] == trained.scores[150]
        world.promote(other.candidate)
        until(lambda: version(client) == 2, "the second release was never taken up")
        assert client.score(USE_CASE, facts)["score"] == other.scores[150]
        too_long = httpx.post(f"{client.url}/score/{USE_CASE}", content=b"x" * 3_000_000, trust_env=False)
        assert too_long.status_code == 413
    server.send_signal(signal.SIGINT)
    assert server.wait(timeout=30) == 0
    assert server.stderr is not None
    assert "Traceback" not in server.stderr.read()


def test_a_port_that_is_taken_is_told_of(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = int(other.getsockname()[1])
        settings = Settings(home=tmp_path, state_url="sqlite://", broker_url="", scoring_port=port)
        with pytest.raises(ServiceError, match=f"port {port} on 127.0.0.1 is taken") as caught:
            serve(settings)
    assert "MLPLATFORM_SCORING_PORT" in caught.value.hint


def test_a_host_that_is_not_ours_is_told_of(port: int) -> None:
    for host in ("192.0.2.1", "no such host"):
        with pytest.raises(ServiceError, match="cannot listen on") as caught:
            listen(host, port)
        assert "MLPLATFORM_HOST" in caught.value.hint


def test_the_server_loads_no_model_library_before_it_has_set_the_threads() -> None:
    code = "import sys, mlplatform.online.server; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split()
    assert "uvicorn" in loaded
    assert not {"lightgbm", "sklearn", "dagster"} & set(loaded)
    assert not {"numpy", "polars", "duckdb", "fastapi"} & set(loaded)  # the parent of workers stays small
