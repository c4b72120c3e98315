"""A real server process for hundreds of thousands of requests: equal to batch to the bit, and no larger."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest

from benchmarks.load import Result, post, run
from mlplatform.stores.champions import ChampionStore
from mlplatform_tests.online.conftest import other as other
from mlplatform_tests.online.conftest import trained as trained
from mlplatform_tests.online.conftest import world as world
from mlplatform_tests.online.world import START, USE_CASE, Trained, World, facts_of, orders, train

ROWS = 100_000
pytestmark = pytest.mark.slow


class _Answered(msgspec.Struct):
    version: int
    score: float
    link: str


_read = msgspec.json.Decoder(_Answered).decode


@contextmanager
def server(world: World) -> Iterator[tuple[int, int]]:
    """A server process over a world; its port and process id."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "MLPLATFORM_HOME": str(world.folder),
        "MLPLATFORM_SCORING_PORT": str(port),
        "MLPLATFORM_BROKER_URL": "nats://127.0.0.1:9",
    }
    process = subprocess.Popen([sys.executable, "-m", "mlplatform.online.server"], env=environment)
    try:
        until = time.monotonic() + 120
        while not _ready(port):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.1)
        yield port, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def requests_of(trained: Trained, rows: int) -> list[bytes]:
    return [
        post(f"/score/{USE_CASE}", json.dumps(facts_of(row)).encode(), host="127.0.0.1")
        for row in trained.frame.tail(rows).iter_rows(named=True)
    ]


def test_online_scores_are_batch_scores_to_the_bit_over_http(tmp_path: Path) -> None:
    many = train(orders(days=3, per_day=ROWS // 2))
    world = World(tmp_path)
    world.write(many.frame)
    world.promote(many.candidate)
    scores = many.scores[-ROWS:].tolist()

    def check(index: int, status: int, body: bytes) -> str:
        if status != 200:
            return f"status {status}: {body[:200].decode()}"
        said = _read(body)
        return "" if said.score == scores[index] else f"row {index}: {said.score!r}, batch {scores[index]!r}"

    requests = requests_of(many, ROWS)
    with server(world) as (port, _):
        result = asyncio.run(run("127.0.0.1", port, requests, 16, count=ROWS, check=check))
    assert result.failures == []
    assert len(result.latencies) == ROWS


def test_memory_does_not_grow_with_requests_and_swaps(world: World, trained: Trained, other: Trained) -> None:
    """Less than 1 MB for 100,000 requests, measured after as many that fill what is bounded."""
    third = train(trained.frame, num_iterations=5)
    for each in (trained, other, third):
        world.promote(each.candidate)
    requests = requests_of(trained, 200)
    with server(world) as (port, pid), closing(ChampionStore(world.state_url)) as store:
        asyncio.run(soak(port, requests, store, 2 * ROWS))
        before = resident(pid)
        asyncio.run(soak(port, requests, store, 3 * ROWS))
        grown = resident(pid) - before
    assert grown / 3 < 1_000_000


async def soak(port: int, requests: list[bytes], store: ChampionStore, count: int) -> None:
    """So many requests, with another champion twice a second."""
    swapping = asyncio.create_task(_swap(store))
    result: Result = await run("127.0.0.1", port, requests, 16, count=count)
    swapping.cancel()
    assert result.failures == []


async def _swap(store: ChampionStore) -> None:
    for number in range(10**9):
        version = number % 3 + 1
        await asyncio.to_thread(
            lambda version=version: store.change(
                USE_CASE, "promote", version, who="test", why="soak", at=START
            )
        )
        await asyncio.sleep(0.5)


def resident(pid: int) -> int:
    """Bytes of memory of a process, at its lowest within some seconds: buffers come and go."""
    lowest = []
    for _ in range(30):
        status = Path(f"/proc/{pid}/status").read_text()
        lowest.append(int(status.split("VmRSS:")[1].split()[0]) * 1024)
        time.sleep(0.5)
    return min(lowest)
