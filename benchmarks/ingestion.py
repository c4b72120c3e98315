"""Events into the platform: the feed of one busy day through a real broker and the archiver, and over HTTP.

    python -m benchmarks.ingestion [--day 2013-12-20] [--requests 500] [--json]

Throughput: the day's events published as fast as possible, then archived; the lake must have as many rows as
events went in. Latency: one event a request, from when it is sent to its 202, and to a subscriber's hands.
"""

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import polars as pl

from mlplatform.cli.replay import Timed, batches, events_of
from mlplatform.crosscutting.bus import Bus, open_bus
from mlplatform.crosscutting.bus.embedded import broker_process
from mlplatform.crosscutting.bus.topics import SOURCE_EVENT
from mlplatform.crosscutting.processes import ProcessSpec, Supervisor
from mlplatform.crosscutting.settings import Settings
from mlplatform.offline import project
from mlplatform.offline.declared import Declared
from mlplatform.online.archiver import Archiver
from mlplatform.online.events import event_id_of, message
from mlplatform.stages.ingestion.batch import take, text_of
from mlplatform.stores.lake import Lake
from mlplatform.stores.raw import RawStore

USE_CASE, STREAM = "flight_delay", "flight_events"

Result = dict[str, float | str]


def day_tables(declared: Declared, day: str) -> dict[str, pl.DataFrame]:
    """The cleaned tables of one day, read from the sources, without a lake."""
    found: dict[str, pl.DataFrame] = {}
    for name in sorted(declared.tables, key=lambda n: declared.config.data_sets[n].daily):
        data_set, rules = declared.config.data_sets[name], declared.rules(name)
        (delivery,) = declared.source(name).deliveries([day] if data_set.daily else None)
        (part,) = delivery.parts
        assert isinstance(part.content, bytes)
        text = text_of(part.content, part.format, rules)
        rows = take(text.with_columns(partition_key=pl.lit(day), batch_id=pl.lit("")), rules).good
        rows = rows if data_set.daily else rows.drop("partition_key")
        found[name] = declared.clean(name)(rows, *(found[other] for other in data_set.reads))
    return found


def throughput(settings: Settings, bus: Bus, events: Sequence[Timed]) -> Result:
    """The whole day published, then archived."""
    started = time.perf_counter()
    for batch in batches(events, None):
        bus.publish_many(SOURCE_EVENT, [message(USE_CASE, each.stream, each.event) for each in batch])
    published = time.perf_counter()
    with closing(Lake.from_settings(settings)) as lake:
        store = RawStore.from_settings(settings, lake)
        lock = settings.home / "archiver.lock"
        with closing(Archiver(bus, store, USE_CASE, [STREAM], lock=lock, most=len(events))) as archiver:
            rows = 0
            while rows < len(events) and (found := archiver.poll()):
                rows += found
        archived = time.perf_counter()
        stored = lake.sql(f"SELECT count(*), count(DISTINCT event_id) FROM {USE_CASE}.raw_{STREAM}").row(0)
    return {
        "events": len(events),
        "rows": stored[0],
        "distinct": stored[1],
        "published_per_s": round(len(events) / (published - started)),
        "archived_per_s": round(len(events) / (archived - published)),
    }


def latency(settings: Settings, bus: Bus, requests: int) -> Result:
    """Milliseconds from sending one event by HTTP to its 202, and to a subscriber's hands."""
    subscription = bus.subscribe(SOURCE_EVENT, "benchmark")
    while old := subscription.fetch(1000, 0.0):
        subscription.ack(*old)
    sent: dict[str, float] = {}
    answered: list[float] = []
    received: list[float] = []

    def receive() -> None:
        while len(received) < requests:
            got = subscription.fetch(100, 10.0)
            if not got:
                return
            now = time.perf_counter()
            received.extend(now - sent[event_id_of(each.envelope)] for each in got)
            subscription.ack(*got)

    reader = threading.Thread(target=receive)
    reader.start()
    with httpx.Client(base_url=settings.ingestion_url, trust_env=False) as client:
        for number in range(requests):
            id = f"latency-{number}"
            event = {"id": id, "time": datetime.now(UTC).isoformat(), "data": {"type": "x", "number": number}}
            sent[id] = time.perf_counter()
            client.post(f"/events/{STREAM}", json=event).raise_for_status()
            answered.append(time.perf_counter() - sent[id])
            time.sleep(0.002)  # the rate of a sender that is not the bottleneck
    reader.join()
    assert len(received) == requests, f"{len(received)} of {requests} events came"
    return _milliseconds("accepted", answered) | _milliseconds("received", received)


def _milliseconds(name: str, seconds: list[float]) -> Result:
    cuts = statistics.quantiles(seconds, n=100)
    return {f"{name}_ms_p50": round(cuts[49] * 1000, 2), f"{name}_ms_p99": round(cuts[98] * 1000, 2)}


@contextmanager
def running(specs: Sequence[ProcessSpec]) -> Iterator[None]:
    """Processes that run inside the `with` block."""
    supervisor = Supervisor(specs)
    supervisor.start()
    try:
        yield
    finally:
        supervisor.stop()


def service(settings: Settings) -> ProcessSpec:
    """The ingestion service as a process."""
    return ProcessSpec(
        name="ingestion",
        command=(sys.executable, "-m", "mlplatform.online.ingestion_server", f"{USE_CASE}:{STREAM}"),
        log=settings.home / "ingestion.log",
        environment={
            "MLPLATFORM_HOME": str(settings.home),
            "MLPLATFORM_BROKER_URL": settings.broker_url,
            "MLPLATFORM_INGESTION_PORT": str(settings.ingestion_port),
        },
        ready=lambda: _answers(f"{settings.ingestion_url}/health/ready"),
        port=settings.ingestion_port,
    )


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def measure(day: str, requests: int, broker_port: int, port: int) -> Result:
    """Everything, in a home of its own."""
    declared = project.load(project.find(USE_CASE, Path.cwd()))
    events = list(events_of(declared, day_tables(declared, day)))
    with tempfile.TemporaryDirectory() as home:
        url = f"nats://127.0.0.1:{broker_port}"
        settings = replace(Settings.load({"MLPLATFORM_HOME": home}), broker_url=url, ingestion_port=port)
        with running([broker_process(url, settings.home)]), closing(open_bus(url)) as bus:
            result: Result = {"day": day, **throughput(settings, bus, events)}
            with running([service(settings)]):
                return result | latency(settings, bus, requests)


def main() -> None:
    """Run and report; the exit code says whether as many rows are archived as events went in."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--day", default="2013-12-20")
    arguments.add_argument("--requests", type=int, default=500)
    arguments.add_argument("--broker-port", type=int, default=14222)
    arguments.add_argument("--port", type=int, default=18081)
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    result = measure(options.day, options.requests, options.broker_port, options.port)
    if options.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:>20}: {value}")
    sys.exit(0 if result["events"] == result["rows"] == result["distinct"] else 1)


if __name__ == "__main__":
    main()
