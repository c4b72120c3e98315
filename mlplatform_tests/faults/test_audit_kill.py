"""kill -9 of a process that commits batches and changes champions: the audit has each change once."""

import multiprocessing
import os
import random
import signal
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from multiprocessing.synchronize import Event
from pathlib import Path

import polars as pl
import pytest
from msgspec.structs import replace

from mlplatform.crosscutting.settings import Settings
from mlplatform.stages.deployment.release import Promotion
from mlplatform.stores.audit import AuditLog
from mlplatform.stores.audited import event_id
from mlplatform.stores.batches import Batch, Manifest, batch_id
from mlplatform.stores.champions import ChampionStore
from mlplatform.stores.data_audit import DataAudit, catch_up
from mlplatform.stores.lake import Lake
from mlplatform.stores.raw import RawStore

KILLS = 20
NOTHING = pl.DataFrame(schema={"reason": pl.String, "line": pl.Int64, "document": pl.String})
PROMOTION = Promotion(
    use_case="shop",
    digest="a",
    model="lightgbm",
    feature_set_id="fs-1",
    figures={},
    as_of="2025-09-30",
    released_at=datetime(2026, 1, 1, tzinfo=UTC),
    released_by="ann@host",
    why="a test",
)


def settings_of(home: Path) -> Settings:
    return Settings.load({"MLPLATFORM_HOME": str(home)})


def work(home: Path, life: int, begun: Event) -> None:
    """Commit batches, each in the place of the one before, and promote; until killed."""
    settings = settings_of(home)
    with (
        closing(Lake.from_settings(settings)) as lake,
        closing(ChampionStore(settings.state_url)) as champions,
    ):
        store = RawStore(settings.raw, lake, audit=DataAudit(settings.state_url))
        for number in range(1_000):
            kept = store.keep([f"{life}-{number}".encode()])
            manifest = Manifest(
                batch_id=batch_id("orders", "2025-03-01", kept.sha256),
                data_set="orders",
                partition="2025-03-01",
                source="test:",
                objects=(kept.sha256,),
                sha256=kept.sha256,
                bytes=kept.bytes,
                rows=1,
                received_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=life, seconds=number),
            )
            rows = {"n": [1], "batch_id": [manifest.batch_id], "partition_key": ["2025-03-01"]}
            store.commit("shop", [Batch(manifest, pl.DataFrame(rows), NOTHING)])
            champions.promote(replace(PROMOTION, digest=f"{life}-{number}"))
            begun.set()


@pytest.mark.slow
def test_kills_at_random_lose_and_double_no_entry(tmp_path: Path) -> None:
    context, chance, home = multiprocessing.get_context("spawn"), random.Random(20), tmp_path / "home"
    for life in range(KILLS):
        begun = context.Event()
        process = context.Process(target=work, args=(home, life, begun))
        process.start()
        assert begun.wait(100)
        time.sleep(chance.random())
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    settings = settings_of(home)
    with closing(AuditLog.from_settings(settings)) as log:
        before = len(log.entries(kind="data"))
        late = catch_up(settings)
        entries = log.entries()
        assert log.verify().sound
    with closing(Lake.from_settings(settings)) as lake:
        manifests = RawStore.from_settings(settings, lake).manifests("shop")
    data = [entry.id for entry in entries if entry.kind == "data"]
    assert len(data) == before + late
    assert sorted(data) == sorted(event_id("shop", m.batch_id, m.received_at) for m in manifests)
    with closing(ChampionStore(settings.state_url)) as champions:
        releases, changes = champions.history("shop"), champions.changes("shop")
    told = [entry.id for entry in entries if entry.kind == "champion"]
    wanted = [f"champion:shop:release:{release.version}" for release in releases]
    assert sorted(told) == sorted([*wanted, *(f"champion:shop:change:{change.number}" for change in changes)])
    assert len(manifests) > KILLS
