"""kill -9 of the preparation at random moments: every question is stored once, each cell as in batch.

Real processes on a real NATS and a real lake. Run as a program this file is the zygote: it imports everything
once and forks one victim per order, because a fresh interpreter's imports would take longer than its life.
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
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mlplatform.crosscutting.bus.nats_jetstream import NatsBus
from mlplatform.crosscutting.bus.topics import SOURCE_EVENT
from mlplatform.online.archiver import Archiver
from mlplatform.online.events import messages
from mlplatform.online.preparation import Preparation
from mlplatform.stores.lake import Lake
from mlplatform.stores.raw import RawStore
from mlplatform_tests.crosscutting.brokers import Broker
from mlplatform_tests.online.stream_world import (
    NONE,
    STREAM,
    differences,
    events,
    fill,
    stored,
    streams,
    world_orders,
)
from mlplatform_tests.online.world import USE_CASE

FRAME = world_orders()
Share = tuple[int, int]


def lake_at(home: Path) -> Lake:
    return Lake(home / "catalog.sqlite", home / "data")


def preparation_at(home: Path, bus: NatsBus, lake: Lake, share: Share) -> Preparation:
    number, of = share
    return Preparation(bus, lake, streams(), locks=home, partition=number, of=of, most=20, seconds=0.05)


# in the zygote


def kill_one(home: Path, url: str, share: Share, begun: bool, after: float) -> None:
    """Fork a victim that prepares for ever; kill it `after` seconds, counted once it has (not) `begun`."""
    reading, writing = os.pipe()
    victim = os.fork()
    if victim == 0:
        try:
            preparation = preparation_at(home, NatsBus(url), lake_at(home), share)
            if begun:
                preparation.poll()  # takes up what was committed
            os.write(writing, b".")
            while True:
                preparation.poll(0.05)
        finally:
            os._exit(1)
    os.close(writing)
    alive = os.read(reading, 1)
    os.close(reading)
    time.sleep(after)
    os.kill(victim, signal.SIGKILL)
    _, status = os.waitpid(victim, 0)
    assert alive, "the victim died before it began"
    assert os.WIFSIGNALED(status), "the victim died by itself"
    assert os.WTERMSIG(status) == signal.SIGKILL


def be_zygote(home: Path, url: str) -> None:
    for name in ("pandas", "pyarrow.dataset"):
        importlib.import_module(name)
    print("ready", flush=True)
    for order in sys.stdin:
        kill_one(home, url, *json.loads(order))
        print("killed", flush=True)


# in the test


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path / "broker") as broker:
        yield broker


def publish(url: str, pause: float, over: threading.Event) -> None:
    """Send the events a few at a time; what is left at once when the kills are over."""
    left = events(FRAME)
    with closing(NatsBus(url)) as bus:
        while left:
            size = len(left) if over.is_set() else 5
            bus.publish_many(SOURCE_EVENT, messages(USE_CASE, STREAM, left[:size]))
            left = left[size:]
            over.wait(pause)


def archive(home: Path, url: str) -> None:
    with closing(lake_at(home)) as lake, closing(NatsBus(url)) as bus:
        store, lock = RawStore(home / "raw", lake), home / "archiver.lock"
        with closing(Archiver(bus, store, USE_CASE, [STREAM], lock=lock, seconds=0)) as archiver:
            archiver.poll()


def killed(zygote: "subprocess.Popen[str]", share: Share, begun: bool, after: float) -> None:
    assert zygote.stdin is not None
    assert zygote.stdout is not None
    zygote.stdin.write(json.dumps([share, begun, after]) + "\n")
    zygote.stdin.flush()
    assert zygote.stdout.readline() == "killed\n"


def finish(home: Path, url: str, share: Share) -> None:
    with (
        closing(lake_at(home)) as lake,
        closing(NatsBus(url)) as bus,
        closing(preparation_at(home, bus, lake, share)) as preparation,
    ):
        last = bus.last(SOURCE_EVENT)
        while preparation.position < last:
            preparation.poll(0.1)
        time.sleep(0.06)  # until what is answered is to be committed
        preparation.poll(0.1)


def is_stored(home: Path) -> bool:
    with closing(lake_at(home)) as lake:
        return stored(lake).height > 0


def through_kills(home: Path, broker: Broker, kills: int, of: int, pause: float) -> None:
    home.mkdir()
    with closing(lake_at(home)) as lake:
        fill(lake, FRAME)
    chance, over = random.Random(kills), threading.Event()
    publisher = threading.Thread(target=publish, args=(broker.url, pause, over))
    command = [sys.executable, "-m", __name__, str(home), broker.url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as zygote:
        assert zygote.stdin is not None
        assert zygote.stdout is not None
        assert zygote.stdout.readline() == "ready\n"
        publisher.start()
        try:
            for number in range(4 * kills):
                if number >= kills and is_stored(home):
                    break
                killed(zygote, (number % of, of), number % 4 != 3, chance.uniform(0.1, 1.2))
                if number % 3 == 1:
                    archive(home, broker.url)
        finally:
            over.set()
            publisher.join()
        zygote.stdin.close()
    with closing(lake_at(home)) as lake:
        before = stored(lake).height
        for number in range(of):
            finish(home, broker.url, (number, of))
        assert differences(lake, FRAME) == NONE
        print(f"{kills} kills, {before} of {stored(lake).height} questions stored by the victims")
    assert before > 0


@pytest.mark.slow
def test_a_killed_preparation_leaves_no_question_out_and_doubles_none(tmp_path: Path, broker: Broker) -> None:
    through_kills(tmp_path / "home", broker, 3, 1, 0.4)


@pytest.mark.slow
@pytest.mark.parametrize("of", [1, 2])
def test_twenty_kills(of: int, tmp_path: Path, broker: Broker) -> None:
    through_kills(tmp_path / "home", broker, 20, of, 0.8)


if __name__ == "__main__":
    be_zygote(Path(sys.argv[1]), sys.argv[2])
