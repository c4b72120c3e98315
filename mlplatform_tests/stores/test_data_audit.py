"""Commits of batches in the audit: each once, with what it replaced, through a death at any step."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import StoreError
from mlplatform.stores.audit import AuditLog
from mlplatform.stores.batches import Batch, Manifest, batch_id
from mlplatform.stores.data_audit import LATE, DataAudit, catch_up
from mlplatform.stores.lake import Lake
from mlplatform.stores.raw import RawStore

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
NOTHING = pl.DataFrame(schema={"reason": pl.String, "line": pl.Int64, "document": pl.String})
DAY = "2025-03-01"


@dataclass
class Shop:
    """A deployment with a Raw Data Store that tells the audit."""

    settings: Settings
    lake: Lake

    def store(self, *, audited: bool = True, **more: Any) -> RawStore:
        audit = DataAudit(self.settings.state_url) if audited else None
        return RawStore(self.settings.raw, self.lake, audit=audit, **more)

    def batch(self, content: str, *, at: int = 0, partition: str = DAY, **more: Any) -> Batch:
        kept = self.store().keep([content.encode()])
        manifest = Manifest(
            batch_id=batch_id("orders", partition, kept.sha256),
            data_set="orders",
            partition=partition,
            source="test:",
            objects=(kept.sha256,),
            sha256=kept.sha256,
            bytes=kept.bytes,
            rows=1,
            received_at=NOON + timedelta(minutes=at),
            **more,
        )
        rows = pl.DataFrame({"n": [1], "batch_id": [manifest.batch_id], "partition_key": [partition]})
        refused = manifest.status == "refused"
        return Batch(manifest, pl.DataFrame() if refused else rows, NOTHING)

    def told(self) -> list[tuple[str, str | None, str]]:
        """Action, batch that was there before, and batch, of each entry."""
        with closing(AuditLog.from_settings(self.settings)) as log:
            details = [entry.told()["details"] for entry in log.entries(kind="data")]
            assert log.verify().sound
        return [
            (each["action"], (each["before"] or {}).get("batch"), each["after"]["batch"]) for each in details
        ]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    settings = Settings.load({"MLPLATFORM_HOME": str(tmp_path / "home")})
    with closing(Lake.from_settings(settings)) as lake:
        yield Shop(settings, lake)


def test_each_commit_is_recorded_with_what_it_replaced(shop: Shop) -> None:
    first, second = shop.batch("one"), shop.batch("two", at=1)
    other = shop.batch("one", partition="2025-03-02", at=2)
    refused = shop.batch("bad", at=3, status="refused", reason="empty: no row")
    for each in (first, second, second, other, refused):
        shop.store().commit("shop", [each])
    ids = [each.manifest.batch_id for each in (first, second, other, refused)]
    assert shop.told() == [
        ("committed", None, ids[0]),
        ("replaced", ids[0], ids[1]),
        ("committed", None, ids[2]),
        ("refused", None, ids[3]),
    ]
    with closing(AuditLog.from_settings(shop.settings)) as log:
        entry = log.entries(subject=f"shop/orders/{DAY}")[1]
    assert entry.at == "2025-03-01T12:01:00.000000+00:00"
    assert entry.why == "delivered by its source"
    assert "@" in entry.who
    assert entry.told()["details"]["after"]["sha256"] == second.manifest.sha256
    assert catch_up(shop.settings) == 0


@pytest.mark.parametrize(("step", "events"), [("before the commit", 1), ("after the commit", 2)])
def test_a_process_that_dies_at_any_step_loses_and_doubles_nothing(
    shop: Shop, step: str, events: int
) -> None:
    def die(name: str) -> None:
        if name == step:
            raise KeyboardInterrupt

    first, second = shop.batch("one"), shop.batch("two", at=1)
    shop.store().commit("shop", [first])
    with pytest.raises(KeyboardInterrupt):
        shop.store(step=die).commit("shop", [second])
    assert len(shop.told()) == 1, "the lake is ahead of the audit"
    assert catch_up(shop.settings) == events - 1
    assert catch_up(shop.settings) == 0
    shop.store().commit("shop", [second])
    told = shop.told()
    assert told[1:] == [("replaced", first.manifest.batch_id, second.manifest.batch_id)]
    with closing(AuditLog.from_settings(shop.settings)) as log:
        assert (log.entries()[1].who == LATE) == (step == "after the commit")


def test_a_delivery_that_comes_back_is_two_events_even_if_nobody_had_recorded_the_first(shop: Shop) -> None:
    first, second, again = shop.batch("one"), shop.batch("two", at=1), shop.batch("one", at=2)
    shop.store(audited=False).commit("shop", [first])  # its process was killed before it told anyone
    shop.store().commit("shop", [second])
    shop.store().commit("shop", [again])  # its manifest takes the place of the first one's
    one, two = first.manifest.batch_id, second.manifest.batch_id
    assert shop.told() == [("replaced", one, two), ("committed", None, one), ("replaced", two, one)]
    assert catch_up(shop.settings) == 0


def test_what_was_there_before_the_audit_is_derived_in_the_order_of_arrival(shop: Shop) -> None:
    first, second = shop.batch("one"), shop.batch("two", at=1)
    for each in (first, second):
        shop.store(audited=False).commit("shop", [each])
    assert catch_up(shop.settings) == 2
    one, two = first.manifest.batch_id, second.manifest.batch_id
    assert shop.told() == [("committed", None, one), ("replaced", one, two)]


def test_without_a_lake_there_is_nothing_to_derive(tmp_path: Path) -> None:
    settings = Settings.load({"MLPLATFORM_HOME": str(tmp_path / "home")})
    assert catch_up(settings) == 0
    assert not settings.home.exists()
    settings.lake_catalog.parent.mkdir(parents=True)
    settings.lake_catalog.touch()  # what a process leaves that is killed while it makes the lake
    assert catch_up(settings) == 0


def test_an_audit_that_is_away_does_not_fail_a_commit_that_was_made(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    first = shop.batch("one")
    shop.store(audited=False)
    away = RawStore(shop.settings.raw, shop.lake, audit=DataAudit("sqlite:////proc/x/state.sqlite"))
    assert away.commit("shop", [first]) == [first.manifest]
    assert "recorded later" in caplog.text
    assert catch_up(shop.settings) == 1


def test_an_audit_that_is_away_keeps_a_manifest_from_being_overwritten(shop: Shop) -> None:
    first, second, again = shop.batch("one"), shop.batch("two", at=1), shop.batch("one", at=2)
    for each in (first, second):
        shop.store(audited=False).commit("shop", [each])
    away = RawStore(shop.settings.raw, shop.lake, audit=DataAudit("sqlite:////proc/x/state.sqlite"))
    with pytest.raises(StoreError, match="cannot make the folder"):
        away.commit("shop", [again])
    assert [manifest.current for manifest in shop.store().manifests("shop")] == [False, True]
