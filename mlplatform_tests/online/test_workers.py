"""Several worker processes, for real: restarts under keep-alive clients, kills, and nothing left behind."""

import asyncio
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchmarks.load import Check, Result, post, run
from mlplatform.crosscutting.guard import lives
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import ServiceError
from mlplatform.online import pid_file
from mlplatform_tests.online.test_server import free_port
from mlplatform_tests.online.world import USE_CASE, Trained, World, facts_of

REQUESTS = 40


def until(condition: Callable[[], object], what: str, seconds: float = 240.0) -> None:
    """Wait until the condition is true; the limit is for a machine that others load as well."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@dataclass
class Service:
    """A parent with its workers, as a client and an operator see them."""

    process: "subprocess.Popen[bytes]"
    settings: Settings
    seen: dict[int, set[int]] = field(default_factory=dict)
    """Pids by number of the worker."""

    def look(self, new_connections: int = 12) -> dict[int, int]:
        """The workers that answer new connections now: pid by number."""
        found = {}
        for _ in range(new_connections):
            worker = json.loads(self.get("/v1/status")[1])["worker"]
            found[int(worker["number"])] = int(worker["pid"])
            self.seen.setdefault(int(worker["number"]), set()).add(int(worker["pid"]))
        return found

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body, by a new connection."""
        connection = http.client.HTTPConnection(self.settings.host, self.settings.scoring_port, timeout=240)
        with closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def reload(self) -> None:
        assert pid_file.reload(self.settings) == self.process.pid

    def load(self, trained: Trained, connections: int, seconds: float) -> Result:
        """Keep-alive clients that compare every score with the batch score, to the bit."""
        requests, check = questions(trained)
        where = self.settings.host, self.settings.scoring_port
        return asyncio.run(run(*where, requests, connections, seconds=seconds, check=check))


def questions(trained: Trained) -> tuple[Sequence[bytes], Check]:
    rows = [trained.frame.row(100 + place, named=True) for place in range(REQUESTS)]
    requests = [post(f"/score/{USE_CASE}", json.dumps(facts_of(row)).encode()) for row in rows]

    def check(index: int, status: int, body: bytes) -> str:
        same = status == 200 and json.loads(body)["score"] == trained.scores[100 + index]
        return "" if same else f"{status} {body[:200]!r}"

    return requests, check


@contextmanager
def serving(world: World, workers: int = 2) -> Iterator[Service]:
    port = free_port()
    variables = {
        "MLPLATFORM_HOME": str(world.folder),
        "MLPLATFORM_SCORING_PORT": str(port),
        "MLPLATFORM_WORKERS": str(workers),
    }
    command = [sys.executable, "-m", "mlplatform.online.server", USE_CASE]
    process = subprocess.Popen(command, env={**os.environ, **variables}, stderr=subprocess.PIPE)
    service = Service(process, Settings.load(variables))
    try:
        until(lambda: len(_serving(service)) == workers, "the workers never served")
        yield service
    finally:
        process.kill()
        process.communicate()
        until(lambda: not any(lives(pid) for pids in service.seen.values() for pid in pids), "orphans")


def _serving(service: Service) -> dict[int, int]:
    """Pids of the workers, once each one that answers has its release."""
    assert service.process.poll() is None, service.process.stderr and service.process.stderr.read()
    try:
        ready = all(service.get("/health/ready")[0] == 200 for _ in range(10))
        return service.look() if ready else {}
    except OSError:
        return {}


def renewed(service: Service, before: dict[int, int]) -> Callable[[], bool]:
    def condition() -> bool:
        try:
            now = service.look()
        except (OSError, http.client.HTTPException):  # while workers are killed a connection may be cut
            return False
        return now.keys() == before.keys() and not set(now.values()) & set(before.values())

    return condition


@pytest.mark.slow
def test_restarted_under_keep_alive_clients_and_nothing_left_of_a_killed_parent(
    world: World, trained: Trained
) -> None:
    world.promote(trained.candidate)
    with serving(world) as service:
        before = service.look()
        with loaded(service, trained, connections=8) as result:
            service.reload()
            until(renewed(service, before), "the workers were not replaced")
        assert result.failures == []
        assert len(result.latencies) > REQUESTS
        until(lambda: not any(lives(pid) for pid in before.values()), "the old workers never ended")
        workers = set(service.look().values())
        service.process.kill()
        service.process.wait()
        until(lambda: not any(lives(pid) for pid in workers), "a worker outlived its parent")
        with pytest.raises(ServiceError, match="no scoring service"):  # its file is there, the lock is not
            service.reload()


@pytest.mark.slow
def test_ended_in_order(world: World, trained: Trained) -> None:
    world.promote(trained.candidate)
    with serving(world) as service:
        workers = set(service.look().values())
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(timeout=30) == 0
        assert not any(lives(pid) for pid in workers)


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_its_connections_go_to_the_others(
    world: World, trained: Trained
) -> None:
    world.promote(trained.candidate)
    with serving(world) as service:
        before = service.look()
        os.kill(before[1], signal.SIGKILL)
        until(lambda: not lives(before[1]), "it was not buried")
        until(lambda: _listening(service) == 1, "its socket stayed open")
        assert service.load(trained, 16, 1.0).failures == []  # new connections, none of which hangs
        until(lambda: service.look().get(1, before[1]) != before[1], "worker 1 was not replaced")
        assert service.look()[2] == before[2]
        for pid in service.look().values():  # all at once: their sockets stay, and connections wait in them
            os.kill(pid, signal.SIGKILL)
        until(renewed(service, before), "the workers were not replaced")
        assert service.load(trained, 4, 0.5).failures == []


@pytest.mark.slow
def test_a_replacement_that_cannot_serve_leaves_the_old_worker(world: World, trained: Trained) -> None:
    release = world.promote(trained.candidate)
    with serving(world) as service:
        before = service.look()
        for file in (world.folder / "candidates" / USE_CASE / release.digest).iterdir():
            file.chmod(0o600)
            file.write_text("damaged")
        others = {*before.values(), *_children(service)}
        service.reload()
        until(lambda: set(_children(service)) - others, "no replacement was started")
        (replacement,) = set(_children(service)) - others
        time.sleep(1.0)  # it looks for releases meanwhile, and must not accept a connection
        assert service.load(trained, 8, 0.5).failures == []
        os.kill(replacement, signal.SIGKILL)
        until(lambda: not lives(replacement), "it was not buried")
        assert service.load(trained, 8, 0.5).failures == []
        assert service.look() == before


@pytest.mark.slow
def test_a_port_that_is_taken_is_told_of_before_anything_is_started(world: World, trained: Trained) -> None:
    world.promote(trained.candidate)
    with serving(world) as service:
        for home in (world.folder, world.folder / "other"):
            environment = os.environ | {
                "MLPLATFORM_HOME": str(home),
                "MLPLATFORM_SCORING_PORT": str(service.settings.scoring_port),
                "MLPLATFORM_WORKERS": "2",
            }
            command = [sys.executable, "-m", "mlplatform.online.server"]
            second = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
            assert second.returncode == 1
            assert ("runs already" if home == world.folder else "is taken") in second.stderr


@pytest.mark.slow
def test_twenty_restarts_under_full_load_fail_nothing(world: World, trained: Trained) -> None:
    world.promote(trained.candidate)
    with serving(world) as service:
        with loaded(service, trained, connections=32) as result:
            for _ in range(20):
                before = service.look()
                service.reload()
                until(renewed(service, before), "the workers were not replaced")
        assert result.failures == []
        assert len(result.latencies) > 20 * REQUESTS


@contextmanager
def loaded(service: Service, trained: Trained, connections: int) -> Iterator[Result]:
    """Keep-alive clients that compare every score with the batch score, in a thread; the result fills."""
    (requests, check), total, over = questions(trained), Result(), threading.Event()

    async def clients() -> Result:
        where, stop = (service.settings.host, service.settings.scoring_port), asyncio.Event()
        loading = asyncio.create_task(run(*where, requests, connections, stop=stop, check=check))
        await asyncio.to_thread(over.wait)
        stop.set()
        return await loading

    with ThreadPoolExecutor() as pool:
        loading = pool.submit(asyncio.run, clients())
        try:
            yield total
        finally:
            over.set()
        result = loading.result()
        total.latencies.extend(result.latencies)
        total.failures += result.failures


def _listening(service: Service) -> int:
    """Sockets that listen on the service's port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    port = f":{service.settings.scoring_port:04X}"
    return sum(row[1].endswith(port) and row[3] == "0A" for row in rows)


def _children(service: Service) -> list[int]:
    """Processes that the parent started: its guard and the workers."""
    text = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text()
    return [int(pid) for pid in text.split()]
