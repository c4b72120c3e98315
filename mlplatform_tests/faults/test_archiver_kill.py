"""kill -9 of the archiver at random moments and at every step: rows archived are the events published, once.

Run as a program this file is the zygote: it imports everything once and forks one victim per order, because
the imports of a fresh interpreter would take longer than an archiver's life here.
"""

import importlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlplatform.crosscutting.bus.nats_jetstream import NatsBus
from mlplatform.crosscutting.bus.topics import SOURCE_EVENT
from mlplatform.online.archiver import Archiver
from mlplatform.online.events import Incoming, messages
from mlplatform.stores.lake import Lake, Table, sync_path
from mlplatform.stores.raw import RawStore
from mlplatform_tests.crosscutting.brokers import Broker

USE_CASE, STREAMS = "u", ("events", "others")
STEPS = [
    "before the sync",
    "before the rename",
    "after the rename",
    "before the commit",
    "inside the commit",
    "after the commit",
]
"""The steps of RawStore, and one of the lake: a new file is on the disk, no row is in the table."""

Published = dict[str, list[str]]


# in the victim


def be_victim(home: Path, url: str, step: str, at: int, most: int, alive: int) -> None:
    """Archive for ever, or until a step is reached for the `at`-th time."""
    counts: Counter[str] = Counter()

    def reached(name: str) -> None:
        counts[name] += 1
        if name == step and counts[name] == at:
            os.kill(os.getpid(), signal.SIGKILL)

    def sync(path: Path) -> None:
        sync_path(path)
        reached("inside the commit")

    bus, lake = NatsBus(url), Lake(home / "catalog.sqlite", home / "data", sync=sync)
    archiver = archiver_at(home, bus, lake, RawStore(home / "raw", lake, step=reached), most)
    lake.tables(USE_CASE)  # opens it, which takes as long as archiving does
    os.write(alive, b".")
    while True:
        if not archiver.poll():
            time.sleep(0.005)


def archiver_at(home: Path, bus: NatsBus, lake: Lake, store: RawStore, most: int) -> Archiver:
    return Archiver(bus, store, USE_CASE, STREAMS, lock=home / "lock", most=most, seconds=0)


# in the zygote


def kill_one(home: Path, url: str, step: str, at: int, most: int, after: float) -> float:
    """Fork a victim that dies at its step, or (no step) `after` seconds of archiving; how long it lived."""
    reading, writing = os.pipe()
    victim = os.fork()
    if victim == 0:
        try:
            be_victim(home, url, step, at, most, writing)
        finally:
            os._exit(1)
    os.close(writing)
    alive = os.read(reading, 1)
    os.close(reading)
    began = time.monotonic()
    if step:
        limit = threading.Timer(60, os.kill, (victim, signal.SIGTERM))
        limit.start()
    else:
        time.sleep(after)
        os.kill(victim, signal.SIGKILL)
    _, status = os.waitpid(victim, 0)
    if step:
        limit.cancel()
    assert alive, "the victim died before it archived anything"
    assert os.WIFSIGNALED(status), "the victim died by itself"
    assert os.WTERMSIG(status) == signal.SIGKILL, f"the victim never came to the step {step!r}"
    return time.monotonic() - began


def be_zygote(home: Path, url: str) -> None:
    for name in ("pandas", "pyarrow.dataset"):
        importlib.import_module(name)
    print("ready", flush=True)
    for order in sys.stdin:
        print(kill_one(home, url, **json.loads(order)), flush=True)


# in the test


class Publisher:
    """Publishes small batches to both streams, now and then one again that was sent before."""

    def __init__(self, url: str) -> None:
        self.ids: Published = {stream: [] for stream in STREAMS}
        self._bus, self._over = NatsBus(url), threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()
        self._bus.close()

    def _run(self) -> None:
        chance, made = random.Random(11), {stream: list[Incoming]() for stream in STREAMS}
        while not self._over.wait(0.02):
            stream = chance.choice(STREAMS)
            sent = made[stream]
            again = chance.sample(sent, 2) if len(sent) > 10 and chance.random() < 0.1 else []
            new = [self._event(stream, len(sent) + n) for n in range(chance.randint(1, 8))]
            self._bus.publish_many(SOURCE_EVENT, messages(USE_CASE, stream, [*again, *new]))
            sent += new
            self.ids[stream] += [event.id for event in new]

    @staticmethod
    def _event(stream: str, number: int) -> Incoming:
        at = datetime(2013, 1, 1, tzinfo=UTC) + timedelta(seconds=number)
        return Incoming(f"{stream}-{number}", at, f"k{number % 5}", b'{"number": %d}' % number)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path / "broker") as broker:
        yield broker


def orders(kills: int) -> Iterator[dict[str, object]]:
    """As many deaths at random moments as at steps, and every step in turn."""
    chance = random.Random(7)
    for number in range(kills):
        step = STEPS[number // 2 % len(STEPS)] if number % 2 else ""
        at, most = chance.randint(1, 4), chance.choice([5, 40, 400])
        yield {"step": step, "at": at, "most": most, "after": chance.uniform(0, 0.6)}


def check(home: Path, lake: Lake, published: Published, *, complete: bool) -> int:
    """Every manifest has its rows and its kept lines, batches do not overlap, and no event is there twice."""
    total = 0
    for stream in STREAMS:
        table = Table(USE_CASE, f"raw_{stream}")
        if not lake.exists(table):
            continue
        rows = lake.read(table, columns=["partition_key", "position", "event_id"])
        store = RawStore(home / "raw", lake)
        manifests = sorted(store.manifests(USE_CASE, stream), key=lambda manifest: manifest.partition)
        counted = dict(rows.group_by("partition_key").len().iter_rows())
        assert {m.partition: m.rows for m in manifests} == counted
        assert rows["position"].is_sorted()
        ids = rows["event_id"].to_list()
        assert ids == published[stream][: len(ids)]
        if complete:
            assert len(ids) == len(published[stream])
            kept = [store.path(m.objects[0]).read_bytes().splitlines() for m in manifests]
            assert [json.loads(line)["id"] for lines in kept for line in lines] == ids
        total += len(ids)
    return total


def through_kills(home: Path, broker: Broker, kills: int) -> None:
    home.mkdir()
    command = [sys.executable, "-m", __name__, str(home), broker.url]
    deaths: Counter[str] = Counter()
    publisher = Publisher(broker.url)
    try:
        with (
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as zygote,
            closing(Lake(home / "catalog.sqlite", home / "data")) as lake,
        ):
            assert zygote.stdin is not None
            assert zygote.stdout is not None
            assert zygote.stdout.readline() == "ready\n"
            for number, order in enumerate(orders(kills)):
                zygote.stdin.write(json.dumps(order) + "\n")
                zygote.stdin.flush()
                float(zygote.stdout.readline())  # not a number: the zygote died, its error is on stderr
                deaths[str(order["step"]) or "random"] += 1
                if number % 5 == 4:
                    time.sleep(0.1)  # an event is on the bus a moment before the publisher notes it
                    check(home, lake, publisher.ids, complete=False)
            zygote.stdin.close()
    finally:
        publisher.stop()
    with (
        closing(Lake(home / "catalog.sqlite", home / "data")) as lake,
        closing(NatsBus(broker.url)) as bus,
        closing(archiver_at(home, bus, lake, RawStore(home / "raw", lake), 10_000)) as archiver,
    ):
        before = check(home, lake, publisher.ids, complete=False)
        while archiver.poll():
            pass
        total = check(home, lake, publisher.ids, complete=True)
    print(f"{kills} kills ({dict(deaths)}), {before} rows by the victims, {total} events in all")
    assert before > 0


def test_a_killed_archiver_loses_and_doubles_nothing(tmp_path: Path, broker: Broker) -> None:
    through_kills(tmp_path / "home", broker, 8)


@pytest.mark.slow
def test_a_hundred_kills(tmp_path: Path, broker: Broker) -> None:
    through_kills(tmp_path / "home", broker, 120)


if __name__ == "__main__":
    be_zygote(Path(sys.argv[1]), sys.argv[2])
