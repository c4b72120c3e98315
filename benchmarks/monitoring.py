"""What monitoring costs the scoring service: `python -m benchmarks.monitoring [--json]`.

Three services over one home take turns at 16 connections: as it is (scraped every second, and a broker takes
its messages), without what monitoring asks of it, and without the log of answers as well. `throughput` is the
first one's requests a second over the second one's, `cpu` the CPU time of a request likewise: medians over
the rounds, each after a warm-up. What the assets of monitoring do with the lake is in other processes.
"""

import argparse
import json
import statistics
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks import serving_client
from benchmarks.load import post, write_requests
from benchmarks.serving_processes import HOST, Server, free_port
from benchmarks.serving_world import WIDE, make_wide, questions
from mlplatform_tests.crosscutting.brokers import Broker

WATCHED, UNWATCHED, UNLOGGED = "watched", "unwatched", "unlogged"
_MODULES = {
    WATCHED: "mlplatform.online.server",
    UNWATCHED: "benchmarks.serving_unwatched",
    UNLOGGED: "benchmarks.serving_unwatched",
}
CONNECTIONS = 16


def started(name: str, home: Path, folder: Path, broker: str) -> Server:
    """One of the three services, on a port of its own."""
    port = free_port()
    environment = {
        "MLPLATFORM_HOME": str(home),
        "MLPLATFORM_SCORING_PORT": str(port),
        "MLPLATFORM_BROKER_URL": broker,
        "MLPLATFORM_WORKERS": "1",
        "PYTHONPATH": str(Path.cwd()),
        **({"UNLOGGED": "1"} if name == UNLOGGED else {}),
    }
    return Server([sys.executable, "-m", _MODULES[name], WIDE], port, folder / f"{name}.log", environment)


@contextmanager
def scraped(port: int) -> Iterator[None]:
    """Asks `/metrics` once a second, as Prometheus would do more rarely."""
    over = threading.Event()

    def scrape() -> None:
        while not over.wait(1.0):
            urllib.request.urlopen(f"http://{HOST}:{port}/metrics", timeout=10).read()

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def sample(name: str, server: Server, requests: Path, seconds: float) -> tuple[float, float, int]:
    """Requests a second, CPU µs of a request, failures."""
    with ExitStack() as stack:
        if name == WATCHED:
            stack.enter_context(scraped(server.port))
        before = server.cpu_seconds()
        load = serving_client.load(server.port, requests, CONNECTIONS, seconds)
        used = server.cpu_seconds() - before
    return load.answers / load.seconds, used / max(1, load.answers) * 1e6, load.failures


def measure(rounds: int, seconds: float) -> dict[str, Any]:
    """All three in turn, in every round."""
    found: dict[str, list[tuple[float, float, int]]] = {name: [] for name in _MODULES}
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder, requests = Path(temporary), Path(temporary) / "requests"
        make_wide(folder / "home")
        broker = stack.enter_context(Broker(folder / "broker"))
        bodies = [post(f"/score/{WIDE}", facts) for facts in questions(folder / "home", WIDE).facts]
        write_requests(requests, bodies)
        servers = {name: started(name, folder / "home", folder, broker.url) for name in _MODULES}
        for name, server in servers.items():
            stack.callback(server.stop)
            server.await_answer(bodies[0], seconds=240.0)
            sample(name, server, requests, seconds)
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
            for name, server in servers.items():
                found[name].append(sample(name, server, requests, seconds))
    return told(found)


def told(found: dict[str, list[tuple[float, float, int]]]) -> dict[str, Any]:
    """Medians of each service, and of the ratios within rounds."""

    def ratio(name: str, other: str, at: int) -> float:
        pairs = zip(found[name], found[other], strict=True)
        return round(statistics.median(a[at] / b[at] for a, b in pairs), 3)

    return {
        "throughput": ratio(WATCHED, UNWATCHED, 0),
        "cpu": ratio(WATCHED, UNWATCHED, 1),
        "throughput_to_unlogged": ratio(WATCHED, UNLOGGED, 0),
        "cpu_to_unlogged": ratio(WATCHED, UNLOGGED, 1),
        "failures": sum(each[2] for each in found[WATCHED]),
        "services": {
            name: {
                "requests_per_s": round(statistics.median(each[0] for each in samples)),
                "cpu_us": round(statistics.median(each[1] for each in samples), 1),
            }
            for name, samples in found.items()
        },
    }


def main() -> None:
    """Run and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each load")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args()
    result = measure(options.rounds, options.seconds)
    if options.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:>24}: {value}")


if __name__ == "__main__":
    main()
