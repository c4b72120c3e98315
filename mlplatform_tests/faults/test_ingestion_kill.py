"""kill -9 of an ingestion, at random moments and at every named step: the store of an undisturbed run.

After each kill every partition is whole and of one batch, what was acknowledged is there, every batch has its
bytes, and all tables are those of an undisturbed run after as many commits (or one more: that which was made,
but not acknowledged). Run as a program this file is the zygote, as in `test_lake_kill.py`.
"""

import gzip
import importlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import dataframely as dy
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mlplatform.offline.ingestion_service import IngestionService
from mlplatform.sources._contract import Delivery, Part
from mlplatform.stages.ingestion.batch import Rules
from mlplatform.stores.batches import BATCHES, QUARANTINE
from mlplatform.stores.lake import Lake, Table, sync_path
from mlplatform.stores.raw import RawStore
from mlplatform_tests.small.fake_lake import FakeLake

USE_CASE, DATA_SET = "orders", "sales"
SALES = Table(USE_CASE, f"raw_{DATA_SET}")
TABLES = [SALES, Table(USE_CASE, BATCHES), Table(USE_CASE, QUARANTINE)]
DAYS = [f"2025-03-0{day}" for day in range(1, 8)]
LAKE_STEP = "before a sync of the lake"
STEPS = [
    "before the sync",
    "before the rename",
    "after the rename",
    "before the commit",
    LAKE_STEP,
    "after the commit",
]

State = list[pl.DataFrame | None]


class Sales(dy.Schema):
    """What is delivered."""

    sale = dy.Int64(primary_key=True)
    price = dy.Float64(nullable=False)


def content_of(day: int, number: int) -> Part:
    """A content of its own; of seven one has a bad row and one is damaged, and the formats take turns."""
    kind = (number + 3 * day) % 7
    rows = [(sale, f"{number}.{day}") for sale in range(11 + kind)]
    if kind == 3:
        rows[4] = (4, "dear")
    name = f"file:///in/{day}-{number}"
    if kind % 3 == 1:
        lines = "".join(f'{{"sale": {sale}, "price": {price}}}\n' for sale, price in rows)
        return Part(f"{name}.jsonl", "jsonl", lines.encode())
    lines = "sale,price\n" + "".join(f"{sale},{price}\n" for sale, price in rows) + "1\n" * (kind == 5)
    if kind % 3 == 2:
        return Part(f"{name}.csv.gz", "csv", gzip.compress(lines.encode(), mtime=0), gzipped=True)
    return Part(f"{name}.csv", "csv", lines.encode())


def deliveries_of(commit: int) -> list[Delivery]:
    """Two to four days: corrections, and every third time what came seven commits ago, once more."""
    days = [(commit * 5 + n) % len(DAYS) for n in range(2 + commit % 3)]
    number = commit if commit % 3 or commit < 7 else commit - 7
    return [Delivery(DAYS[day], (content_of(day, number),)) for day in days]


def store_at(home: Path, lake: Lake, step: Callable[[str], None] = lambda name: None) -> RawStore:
    return RawStore(home / "raw", lake, step=step)


def lake_at(home: Path, sync: Callable[[Path], None] = sync_path) -> Lake:
    return Lake(home / "catalog.sqlite", home / "data", sync=sync)


def ingest(store: RawStore, commit: int) -> None:
    service = IngestionService(store, USE_CASE, DATA_SET, Rules(Sales), partitioned=True)
    service.ingest(deliveries_of(commit))


# in the victim


def be_victim(home: Path, start: int, acknowledge: int, die_at: str, times: int) -> None:
    """Ingest for ever, a byte goes out after each commit; at the `times`-th step `die_at` it kills itself."""
    left = times

    def step(name: str) -> None:
        nonlocal left
        left -= name == die_at
        if not left and die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def sync(path: Path) -> None:
        step(LAKE_STEP)
        sync_path(path)

    store = store_at(home, lake_at(home, sync), step)
    for commit in range(start, start + 1000):
        ingest(store, commit)
        os.write(acknowledge, b".")


# in the zygote


def kill_one(
    home: str, start: int, *, die_at: str = "", times: int = 0, after: int = 0, wait: float = 0
) -> int:
    """Fork a victim that dies at a step, or `wait` seconds after acknowledgment `after`; how many came."""
    reading, writing = os.pipe()
    victim = os.fork()
    if victim == 0:
        os.close(reading)
        try:
            be_victim(Path(home), start, writing, die_at, times)
        finally:
            os._exit(1)
    os.close(writing)
    seen = 0
    if not die_at:
        while seen < after and os.read(reading, 1):
            seen += 1
        time.sleep(wait)
        os.kill(victim, signal.SIGKILL)
    while os.read(reading, 1):
        seen += 1
    os.close(reading)
    _, status = os.waitpid(victim, 0)
    assert os.WIFSIGNALED(status), "the victim died by itself"
    return seen


def be_zygote() -> None:
    for name in ("pyarrow.dataset", "pandas"):
        importlib.import_module(name)
    print("ready", flush=True)
    for order in sys.stdin:
        print(kill_one(**json.loads(order)), flush=True)


# in the test


class Zygote:
    """The process that victims are forked from."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._answer() == "ready\n"

    def kill(self, home: Path, start: int, **how: object) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"home": str(home), "start": start, **how}) + "\n")
        self._process.stdin.flush()
        return int(self._answer())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with closing(Zygote()) as zygote:
        yield zygote


def state_of(lake: Lake) -> State:
    """All tables, without what two runs may differ in, in one order of rows."""
    frames = [lake.read(table) if lake.exists(table) else None for table in TABLES]
    return [
        None if frame is None else frame.drop("received_at", strict=False).sort(pl.all().exclude("objects"))
        for frame in frames
    ]


class Undisturbed:
    """What is there after so many commits where nothing was killed."""

    def __init__(self, home: Path) -> None:
        self._lake = FakeLake()
        self._store = store_at(home, self._lake.as_lake())
        self._states = [state_of(self._lake.as_lake())]

    def after(self, commits: int) -> State:
        while len(self._states) <= commits:
            ingest(self._store, len(self._states) - 1)
            self._states.append(state_of(self._lake.as_lake()))
        return self._states[commits]


def equal(got: State, expected: State) -> bool:
    return all(a is b if a is None or b is None else a.equals(b) for a, b in zip(got, expected, strict=True))


def assert_equal(got: State, expected: State) -> None:
    for a, b in zip(got, expected, strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            assert_frame_equal(a, b)


def assert_whole(lake: Lake, store: RawStore, home: Path) -> None:
    """Rows of a partition are all of the current batch, and as many; every batch has its bytes."""
    manifests = store.manifests(USE_CASE)
    current = {m.partition: (m.batch_id, m.rows) for m in manifests if m.current}
    if lake.exists(SALES):
        counts = lake.read(SALES).group_by("partition_key", "batch_id").agg(pl.len(), pl.n_unique("sale"))
        assert {key: (id, rows) for key, id, rows, _ in counts.rows()} == current
        assert counts.height == len(current), "a partition has rows of several batches"
        assert counts["len"].equals(counts["sale"], check_names=False), "a row is there twice"
    else:
        assert not current
    for manifest in manifests:
        for sha in manifest.objects:
            assert sha256(store.path(sha).read_bytes()).hexdigest() == sha
    for path in (home / "raw").rglob("*"):
        if path.is_file() and not path.name.startswith(".incoming-"):
            assert sha256(path.read_bytes()).hexdigest() == path.name, "no temporary file is an object"


def ways_to_die(chance: random.Random, random_kills: int, kills_a_step: int) -> list[dict[str, object]]:
    """Random moments, from before the first commit on, and every named step; in no order."""
    ways: list[dict[str, object]] = [
        {"after": chance.randint(0, 2), "wait": chance.uniform(0, 0.25)} for _ in range(random_kills)
    ]
    ways += [{"die_at": step, "times": chance.randint(1, 6)} for step in STEPS for _ in range(kills_a_step)]
    chance.shuffle(ways)
    return ways


def kill_again_and_again(zygote: Zygote, folder: Path, ways: list[dict[str, object]]) -> None:
    home, undisturbed = folder / "killed", Undisturbed(folder / "undisturbed")
    done = unacknowledged = 0
    began = time.monotonic()
    with closing(lake_at(home)) as lake:
        store = store_at(home, lake)
        for way in ways:
            # A victim begins with the commit that its predecessor may or may not have made: done again.
            done += zygote.kill(home, done, **way)
            assert_whole(lake, store, home)
            state = state_of(lake)
            if not equal(state, undisturbed.after(done)):
                # Only the commit that was never acknowledged may be there besides, and only as a whole.
                assert_equal(state, undisturbed.after(done + 1))
                unacknowledged += 1
    seconds = time.monotonic() - began
    with closing(lake_at(home)) as lake:
        for _ in range(2):
            ingest(store_at(home, lake), done)
            assert_whole(lake, store_at(home, lake), home)
            assert_equal(state_of(lake), undisturbed.after(done + 1))
    left_over = len(list((home / "raw").glob(".incoming-*")))
    print(
        f"{len(ways)} kills in {seconds:.0f} s, {done} commits acknowledged, {unacknowledged} made but not "
        f"acknowledged, {left_over} temporary files left"
    )


def test_a_killed_ingestion_leaves_whole_acknowledged_batches(zygote: Zygote, tmp_path: Path) -> None:
    kill_again_and_again(zygote, tmp_path, ways_to_die(random.Random(11), 6, 1))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_sixty_kills_of_an_ingestion(zygote: Zygote, tmp_path: Path, seed: int) -> None:
    kill_again_and_again(zygote, tmp_path, ways_to_die(random.Random(seed), 30, 5))


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_a_step_of_the_first_commit_the_next_run_does_it(
    zygote: Zygote, tmp_path: Path, step: str
) -> None:
    kill_again_and_again(zygote, tmp_path, [{"die_at": step, "times": 1}])


if __name__ == "__main__":
    be_zygote()
