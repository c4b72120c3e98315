"""The Raw Data Store keeps bytes once, untouched and durable; a batch exists when its one commit does."""

import os
import stat
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from mlplatform.errors import NotFound, SchemaMismatch, StoreError
from mlplatform.stores.batches import QUARANTINE_SCHEMA, Batch, Manifest, batch_id
from mlplatform.stores.lake import Lake, Table
from mlplatform.stores.raw import RawStore

SHOP, RAW = "shop", Table("shop", "raw_orders")
NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
DAY, NEXT = "2025-03-01", "2025-03-02"
NOTHING = pl.DataFrame(schema={"reason": pl.String, "line": pl.Int64, "document": pl.String})


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    with closing(Lake(tmp_path / "lake" / "catalog.sqlite", tmp_path / "lake" / "data")) as lake:
        yield lake


@pytest.fixture
def store(tmp_path: Path, lake: Lake) -> RawStore:
    return RawStore(tmp_path / "raw", lake)


def all_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def batch(
    store: RawStore,
    content: bytes,
    *values: int,
    partition: str = DAY,
    at: int = 0,
    data_set: str = "orders",
    daily: bool = True,
    rejected: pl.DataFrame = NOTHING,
    **more: Any,
) -> Batch:
    """A delivery whose rows are `values`, received some minutes after noon."""
    kept = store.keep([content])
    manifest = Manifest(
        batch_id=batch_id(data_set, partition, kept.sha256),
        data_set=data_set,
        partition=partition,
        source="test:",
        objects=(kept.sha256,),
        sha256=kept.sha256,
        bytes=kept.bytes,
        rows=len(values),
        rejected=rejected.height,
        received_at=NOON + timedelta(minutes=at),
        **more,
    )
    marks = {"batch_id": manifest.batch_id, **({"partition_key": partition} if daily else {})}
    rows = pl.DataFrame({"n": list(values)}, schema={"n": pl.Int64})
    return Batch(manifest, rows.with_columns(pl.lit(v).alias(k) for k, v in marks.items()), rejected)


def refusal(store: RawStore, content: bytes, reason: str = "empty", **more: Any) -> Batch:
    refused = batch(store, content, status="refused", reason=reason, **more)
    return Batch(refused.manifest, pl.DataFrame(), refused.rejected)


def served(lake: Lake, table: Table = RAW) -> list[int]:
    return lake.read(table)["n"].to_list()


def told(store: RawStore, **asked: str) -> list[tuple[str, bool]]:
    """Status and whether it is served, of every manifest in order."""
    return [(manifest.status, manifest.current) for manifest in store.manifests(SHOP, **asked)]


class TestKeep:
    def test_bytes_are_kept_as_they_are_below_their_sha(self, store: RawStore, tmp_path: Path) -> None:
        kept = store.keep([b"one\r\n", b"", b"\0two"])
        assert (kept.sha256, kept.bytes) == (sha256(b"one\r\n\0two").hexdigest(), 9)
        assert store.path(kept.sha256).read_bytes() == b"one\r\n\0two"
        assert all_files(tmp_path / "raw") == [store.path(kept.sha256)]

    def test_a_file_is_copied(self, store: RawStore, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_bytes(b"content")
        kept = store.keep(tmp_path / "a.csv")
        (tmp_path / "a.csv").write_bytes(b"changed")
        assert store.path(kept.sha256).read_bytes() == b"content"

    def test_the_same_bytes_are_kept_once(self, store: RawStore, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_bytes(b"content")
        first = store.keep([b"content"])
        inode = store.path(first.sha256).stat().st_ino
        assert store.keep(tmp_path / "a.csv") == first
        assert store.keep([b"con", b"tent"]) == first
        assert store.path(first.sha256).stat().st_ino == inode
        assert len(all_files(tmp_path / "raw")) == 1

    def test_nobody_may_write_them(self, store: RawStore) -> None:
        path = store.path(store.keep([b"content"]).sha256)
        assert stat.S_IMODE(path.stat().st_mode) == 0o444

    def test_nothing_is_a_content_too(self, store: RawStore) -> None:
        kept = store.keep([])
        assert (kept.bytes, store.path(kept.sha256).read_bytes()) == (0, b"")

    @given(st.lists(st.binary(max_size=50), max_size=6))
    @settings(max_examples=30, deadline=None)
    def test_any_chunks(self, tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes]) -> None:
        folder = tmp_path_factory.mktemp("raw")
        store = RawStore(folder, Lake(folder / "catalog.sqlite", folder / "data"))
        kept = store.keep(chunks)
        assert kept.sha256 == sha256(b"".join(chunks)).hexdigest()
        assert store.path(kept.sha256).read_bytes() == b"".join(chunks)

    def test_content_then_folders_are_synced_around_the_rename(self, lake: Lake, tmp_path: Path) -> None:
        raw, happened = tmp_path / "raw", list[str]()

        def sync(path: Path) -> None:
            whole = path.is_dir() or path.read_bytes() == b"content"
            happened.append(f"{path.name if path.is_dir() else 'file'}{'' if whole else ' half'}")

        store = RawStore(raw, lake, step=happened.append, sync=sync)
        sha = store.keep([b"con", b"tent"]).sha256
        folders = [sha[:2], "raw", tmp_path.name]
        steps = ["before the sync", "file", "before the rename", "after the rename"]
        assert happened == [*steps, *folders]

        # Who put it there may have been killed before the folders were synced.
        happened.clear()
        store.keep([b"content"])
        assert happened == ["before the sync", "file", *folders]

    @pytest.mark.parametrize("step", ["before the sync", "before the rename", "after the rename"])
    def test_stopped_at_any_step_there_is_all_or_nothing(self, lake: Lake, tmp_path: Path, step: str) -> None:
        def stop(name: str) -> None:
            if name == step:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            RawStore(tmp_path / "raw", lake, step=stop).keep([b"content"])
        found = [path.read_bytes() for path in all_files(tmp_path / "raw")]
        assert found == ([b"content"] if step == "after the rename" else [])
        assert RawStore(tmp_path / "raw", lake).keep([b"content"]).bytes == 7

    def test_a_source_that_fails_leaves_nothing(self, store: RawStore, tmp_path: Path) -> None:
        def failing() -> Iterator[bytes]:
            yield b"half"
            raise OSError(5, "Input/output error")

        with pytest.raises(StoreError, match="Input/output error") as caught:
            store.keep(failing())
        assert "nothing of it was saved" in caught.value.hint
        with pytest.raises(StoreError, match="No such file"):
            store.keep(tmp_path / "none.csv")
        assert all_files(tmp_path / "raw") == []

    def test_a_full_disk(self, lake: Lake, tmp_path: Path) -> None:
        def full(path: Path) -> None:
            raise OSError(28, "No space left on device")

        with pytest.raises(StoreError, match="No space left") as caught:
            RawStore(tmp_path / "raw", lake, sync=full).keep([b"content"])
        assert "free space" in caught.value.hint
        assert all_files(tmp_path / "raw") == []

    def test_a_large_delivery_passes_through(self, store: RawStore, tmp_path: Path) -> None:
        big = tmp_path / "big"
        with big.open("wb") as file:
            file.truncate(64 << 20)
        tracemalloc.start()
        try:
            assert store.keep(big).bytes == 64 << 20
            assert store.keep(os.urandom(1 << 20) for _ in range(64)).bytes == 64 << 20
            assert tracemalloc.get_traced_memory()[1] < 16 << 20
        finally:
            tracemalloc.stop()


class TestPath:
    def test_bytes_that_were_never_kept(self, store: RawStore) -> None:
        with pytest.raises(NotFound, match="no delivery with SHA-256 '0000") as caught:
            store.path("0" * 64)
        assert caught.value.hint

    @pytest.mark.parametrize(
        "sha", ["", "abc", "../" * 21 + "x", "G" * 64, "A" * 64, "0" * 63 + "/", "0" * 65]
    )
    def test_what_is_no_sha(self, store: RawStore, sha: str) -> None:
        with pytest.raises(NotFound, match="allowed are 64 hexadecimal digits"):
            store.path(sha)


class TestBatchId:
    def test_it_names_data_set_partition_and_content(self) -> None:
        first = batch_id("orders", DAY, "0" * 64)
        assert len(first) == 24
        assert int(first, 16) >= 0
        assert batch_id("orders", DAY, "0" * 64) == first
        others = {
            batch_id("returns", DAY, "0" * 64),
            batch_id("orders", NEXT, "0" * 64),
            batch_id("orders", DAY, "1" * 64),
        }
        assert len({first, *others}) == 4


class TestCommit:
    def test_rows_manifest_and_rejected_rows_come_together(self, store: RawStore, lake: Lake) -> None:
        wrong = pl.DataFrame({"reason": ["rule: a"], "line": [3], "document": ["{}"]})
        given = batch(
            store,
            b"content",
            *(1, 2),
            rejected=wrong,
            event_from=NOON,
            event_until=NOON + timedelta(hours=1),
            schema_version="12345678",
            message_id="m-1",
        )
        assert store.commit(SHOP, [given]) == [given.manifest]
        assert_frame_equal(lake.read(RAW), given.rows, check_column_order=False)
        (manifest,) = store.manifests(SHOP)
        assert manifest == given.manifest
        assert store.path(manifest.objects[0]).read_bytes() == b"content"
        quarantine = lake.read(Table(SHOP, "quarantine"))
        assert quarantine.schema == QUARANTINE_SCHEMA
        assert quarantine.rows() == [
            (manifest.batch_id, manifest.batch_id, "orders", DAY, "rule: a", 3, "{}"),
        ]

    def test_the_same_batch_again_changes_nothing(self, store: RawStore, lake: Lake) -> None:
        snapshots = "SELECT max(snapshot_id) AS n FROM ducklake_snapshots('lake')"
        store.commit(SHOP, [batch(store, b"content", 1)])
        before = lake.sql(snapshots)["n"][0]
        assert store.commit(SHOP, [batch(store, b"content", 1, at=5)]) == []
        assert lake.sql(snapshots)["n"][0] == before
        assert [manifest.received_at for manifest in store.manifests(SHOP)] == [NOON]

    def test_only_what_is_new_is_committed(self, store: RawStore, lake: Lake) -> None:
        store.commit(SHOP, [batch(store, b"content", 1)])
        new = batch(store, b"other", 2, partition=NEXT, at=1)
        assert store.commit(SHOP, [batch(store, b"content", 1, at=1), new]) == [new.manifest]
        assert served(lake) == [1, 2]

    def test_a_correction_takes_the_place_and_the_history_stays(self, store: RawStore, lake: Lake) -> None:
        wrong = pl.DataFrame({"reason": ["rule: a"], "line": [3], "document": ["{}"]})
        store.commit(SHOP, [batch(store, b"first", 1, rejected=wrong), batch(store, b"n", 9, partition=NEXT)])
        store.commit(SHOP, [batch(store, b"second", 2, 3, at=1)])
        assert served(lake) == [2, 3, 9]
        found = {m.sha256: m for m in store.manifests(SHOP)}
        first, second = (found[sha256(content).hexdigest()] for content in (b"first", b"second"))
        assert (first.current, second.current) == (False, True)
        assert store.path(first.objects[0]).read_bytes() == b"first"
        assert lake.read(Table(SHOP, "quarantine"))["batch_id"].to_list() == [first.batch_id]

    def test_older_content_that_comes_again_is_served_again(self, store: RawStore, lake: Lake) -> None:
        contents = [b"first", b"second", b"first"]
        for at, content in enumerate(contents):
            assert len(store.commit(SHOP, [batch(store, content, at, at=at)])) == 1
        assert served(lake) == [2]
        assert [(store.path(m.sha256).read_bytes(), m.current) for m in store.manifests(SHOP)] == [
            (b"second", False),
            (b"first", True),
        ]

    def test_a_clock_that_goes_back_does_not_bring_the_old_rows_back(
        self, store: RawStore, lake: Lake
    ) -> None:
        store.commit(SHOP, [batch(store, b"first", 1, at=10)])
        (committed,) = store.commit(SHOP, [batch(store, b"second", 2, at=0)])
        assert served(lake) == [2]
        (current,) = [manifest for manifest in store.manifests(SHOP) if manifest.current]
        assert current == committed
        assert current.batch_id == batch(store, b"second").manifest.batch_id

    def test_a_refusal_leaves_what_is_served(self, store: RawStore, lake: Lake) -> None:
        store.commit(SHOP, [batch(store, b"first", 1)])
        refused = refusal(store, b"second", "gzip-truncated", at=1)
        assert store.commit(SHOP, [refused]) == [refused.manifest]
        assert served(lake) == [1]
        assert told(store) == [("accepted", True), ("refused", False)]
        assert store.manifests(SHOP)[1].reason == "gzip-truncated"
        assert store.path(refused.manifest.objects[0]).read_bytes() == b"second"
        assert store.commit(SHOP, [batch(store, b"first", 1, at=2)]) == []

    def test_a_refusal_does_not_take_the_place_of_the_same_content_accepted(
        self, store: RawStore, lake: Lake
    ) -> None:
        rejected = pl.DataFrame({"reason": ["rule: a"], "line": [3], "document": ["{}"]})
        store.commit(SHOP, [batch(store, b"first", 1, rejected=rejected)])
        store.commit(SHOP, [refusal(store, b"first", "row-count", at=1)])
        assert told(store) == [("accepted", True), ("refused", False)]
        assert served(lake) == [1]
        assert lake.read(Table(SHOP, "quarantine")).height == 1

    def test_a_refusal_first_and_then_the_same_content_accepted(self, store: RawStore, lake: Lake) -> None:
        store.commit(SHOP, [refusal(store, b"first", "row-count")])
        assert told(store) == [("refused", False)]
        assert not lake.exists(RAW)
        store.commit(SHOP, [batch(store, b"first", 1, at=1)])
        assert told(store) == [("refused", False), ("accepted", True)]

    def test_rows_that_a_refusal_was_for_are_in_the_quarantine(self, store: RawStore, lake: Lake) -> None:
        rejected = pl.DataFrame({"reason": ["rule: a", "rule: b"], "line": [2, 3], "document": ["{}", "{}"]})
        store.commit(SHOP, [refusal(store, b"first", "too-many-rejected", rejected=rejected)])
        (manifest,) = store.manifests(SHOP)
        quarantine = lake.read(Table(SHOP, "quarantine"))
        assert quarantine["reason"].to_list() == ["rule: a", "rule: b"]
        assert set(quarantine["batch_id"]) == {manifest.batch_id}

    def test_a_table_without_partitions_is_replaced_as_a_whole(self, store: RawStore, lake: Lake) -> None:
        for at, (content, values) in enumerate([(b"first", (1, 2)), (b"second", (3,))]):
            store.commit(SHOP, [batch(store, content, *values, partition="all", daily=False, at=at)])
        assert served(lake) == [3]
        assert told(store) == [("accepted", False), ("accepted", True)]

    def test_a_delivery_without_rows_takes_the_place_too(self, store: RawStore, lake: Lake) -> None:
        store.commit(SHOP, [batch(store, b"first", 1), batch(store, b"n", 9, partition=NEXT)])
        store.commit(SHOP, [batch(store, b"", at=1)])
        assert served(lake) == [9]
        assert [m.rows for m in store.manifests(SHOP) if m.current and m.partition == DAY] == [0]

    def test_data_sets_and_use_cases_are_apart(self, store: RawStore, lake: Lake) -> None:
        orders, returns = batch(store, b"same", 1), batch(store, b"same", 2, data_set="returns", at=1)
        store.commit(SHOP, [orders, returns])
        store.commit("mall", [batch(store, b"same", 3)])
        assert (served(lake), served(lake, Table(SHOP, "raw_returns"))) == ([1], [2])
        assert served(lake, Table("mall", "raw_orders")) == [3]
        assert store.manifests(SHOP, "returns") == [returns.manifest]
        assert store.manifests(SHOP) == [orders.manifest, returns.manifest]
        assert store.manifests(SHOP, "nothing") == []

    def test_manifests_come_in_the_order_of_arrival(self, store: RawStore) -> None:
        ats = [3, 1, 2, 0]
        batches = [batch(store, str(at).encode(), at, partition=f"2025-03-0{at + 1}", at=at) for at in ats]
        for each in batches:
            store.commit(SHOP, [each])
        assert [manifest.bytes for manifest in store.manifests(SHOP)] == [1] * 4
        assert [manifest.received_at.minute for manifest in store.manifests(SHOP)] == [0, 1, 2, 3]

    def test_nothing_yet(self, store: RawStore, tmp_path: Path) -> None:
        assert store.manifests(SHOP) == []
        assert store.commit(SHOP, []) == []
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(("step", "expected"), [("before the commit", [1]), ("after the commit", [2])])
    def test_stopped_at_any_step_a_batch_is_there_or_not(
        self, lake: Lake, store: RawStore, tmp_path: Path, step: str, expected: list[int]
    ) -> None:
        def stop(name: str) -> None:
            if name == step:
                raise KeyboardInterrupt

        store.commit(SHOP, [batch(store, b"first", 1)])
        new = batch(store, b"second", 2, at=1)
        with pytest.raises(KeyboardInterrupt):
            RawStore(tmp_path / "raw", lake, step=stop).commit(SHOP, [new])
        assert served(lake) == expected
        assert len(store.manifests(SHOP)) == expected[0]
        store.commit(SHOP, [new])
        assert served(lake) == [2]
        assert told(store) == [("accepted", False), ("accepted", True)]

    def test_a_commit_that_fails_leaves_no_trace_of_any_batch(self, store: RawStore, lake: Lake) -> None:
        store.commit(SHOP, [batch(store, b"first", 1)])
        sound = batch(store, b"second", 2, at=1)
        other = batch(store, b"third", 3, partition=NEXT, at=1, data_set="returns")
        store.commit(SHOP, [other])
        wrong = batch(store, b"fourth", 4, partition=NEXT, at=2, data_set="returns")
        wrong = Batch(wrong.manifest, wrong.rows.with_columns(n=pl.lit("x")), wrong.rejected)
        with pytest.raises(SchemaMismatch):
            store.commit(SHOP, [sound, wrong])
        assert served(lake) == [1]
        assert told(store) == [("accepted", True), ("accepted", True)]
