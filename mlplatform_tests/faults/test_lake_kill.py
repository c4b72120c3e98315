"""kill -9 at random moments of writes through the IO manager: nothing torn, nothing acknowledged is lost.

Run as a program this file is the zygote: it imports everything once and forks one victim per order, because
the imports of a fresh interpreter would take longer than the writes.
"""

import importlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mlplatform.offline.io_manager import LakeIOManager, table_of
from mlplatform.offline.resources import LakeResource
from mlplatform.stores.lake import Lake

KILLS = 24
ROWS = 40
KEY = dg.AssetKey(["flight_delay", "flights"])
DAILY = dg.DailyPartitionsDefinition("2013-01-01", end_date="2013-01-07")
DAYS = list(DAILY.get_partition_keys())

State = dict[str, int]


def days_of(commit: int) -> list[str]:
    """The range a commit writes: one to three days, another for each commit."""
    first = commit * 5 % len(DAYS)
    return DAYS[first : first + 1 + commit % 3]


def frame_of(commit: int) -> pl.DataFrame:
    keys = [key for key in days_of(commit) for _ in range(ROWS)]
    row = [n % ROWS for n in range(len(keys))]
    return pl.DataFrame({"partition_key": keys, "row": row, "commit": [commit] * len(keys)})


def table_after(state: State) -> pl.DataFrame:
    parts = [
        pl.DataFrame({"partition_key": [key] * ROWS, "row": list(range(ROWS)), "commit": [commit] * ROWS})
        for key, commit in sorted(state.items())
    ]
    return pl.concat(parts) if parts else frame_of(0).clear()


def lake_at(home: Path) -> Lake:
    return Lake(home / "catalog.sqlite", home / "data")


# in the victim


def write(manager: LakeIOManager, commit: int) -> None:
    keys = days_of(commit)
    context = dg.build_output_context(
        asset_key=KEY,
        asset_partitions_def=DAILY,
        asset_partition_key_range=dg.PartitionKeyRange(keys[0], keys[-1]),
    )
    manager.handle_output(context, frame_of(commit))


def be_victim(home: Path, start: int, acknowledge: int) -> None:
    """Write one commit after another for ever; a byte goes out after each."""
    lake = LakeResource(catalog=str(home / "catalog.sqlite"), data=str(home / "data"))
    manager = LakeIOManager(lake=lake)
    for commit in range(start, start + 1000):
        write(manager, commit)
        os.write(acknowledge, b".")


# in the zygote


def kill_one(home: Path, start: int, after: int, fraction: float) -> int:
    """Fork a victim, kill it a fraction of a commit after acknowledgment `after`; returns how many came."""
    reading, writing = os.pipe()
    victim = os.fork()
    if victim == 0:
        os.close(reading)
        be_victim(home, start, writing)
        os._exit(1)
    os.close(writing)
    seen, before = 0, time.monotonic()
    while seen < after and os.read(reading, 1):
        seen, took, before = seen + 1, time.monotonic() - before, time.monotonic()
    time.sleep(fraction * took)
    os.kill(victim, signal.SIGKILL)
    _, status = os.waitpid(victim, 0)
    assert os.WIFSIGNALED(status), "the victim died by itself"
    while os.read(reading, 1):
        seen += 1
    os.close(reading)
    return seen


def be_zygote(home: Path) -> None:
    # What Dagster and DuckDB import at their first use, so that no victim spends its life on it.
    dg.DagsterInstance.ephemeral().dispose()
    for name in ("pandas", "pyarrow.dataset"):
        importlib.import_module(name)
    print("ready", flush=True)
    for order in sys.stdin:
        print(kill_one(home, **json.loads(order)), flush=True)


# in the test


@pytest.fixture
def zygote(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", __name__, str(tmp_path / "lake")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        assert process.stdin is not None
        process.stdin.close()


def order(zygote: "subprocess.Popen[str]", **values: float) -> int:
    assert zygote.stdin is not None
    assert zygote.stdout is not None
    zygote.stdin.write(json.dumps(values) + "\n")
    zygote.stdin.flush()
    return int(zygote.stdout.readline())


def found(lake: Lake) -> pl.DataFrame:
    return lake.read(table_of(KEY)).sort("partition_key", "row")


@pytest.mark.slow
def test_a_killed_writer_leaves_whole_acknowledged_partitions(
    zygote: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    chance, state = random.Random(7), State()
    done = unacknowledged = 0
    with closing(lake_at(tmp_path / "lake")) as lake:
        for _ in range(KILLS):
            # A victim begins with the commit that its predecessor may or may not have made: done again.
            after, fraction = chance.randint(2, 3), chance.uniform(0, 1.2)
            acknowledged = order(zygote, start=done, after=after, fraction=fraction)
            assert acknowledged >= after
            for commit in range(done, done + acknowledged):
                state |= dict.fromkeys(days_of(commit), commit)
            done += acknowledged
            rows = found(lake)
            if not rows.equals(table_after(state)):
                # Only the commit that was never acknowledged may be there besides, and only as a whole.
                assert_frame_equal(rows, table_after(state | dict.fromkeys(days_of(done), done)))
                unacknowledged += 1
    with closing(lake_at(tmp_path / "lake")) as lake:
        state |= dict.fromkeys(days_of(done), done)
        for _ in range(2):
            lake.write(table_of(KEY), frame_of(done), days_of(done))
            assert_frame_equal(found(lake), table_after(state))
    print(f"{KILLS} kills, {done} commits acknowledged, {unacknowledged} made but not acknowledged")


if __name__ == "__main__":
    be_zygote(Path(sys.argv[1]))
