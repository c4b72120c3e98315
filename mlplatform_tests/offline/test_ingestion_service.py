"""The Ingestion Service: a delivery is kept, then served or refused; what came before is never lost."""

import gzip
import io
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import dataframely as dy
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mlplatform.errors import DeliveryRefused, SourceError, StoreError
from mlplatform.offline import ingestion_service
from mlplatform.offline.ingested import Expected, Ingested
from mlplatform.offline.ingestion_service import IngestionService
from mlplatform.sources import files
from mlplatform.sources._contract import WHOLE, Delivery, Part
from mlplatform.stages.ingestion.batch import Rules
from mlplatform.stages.ingestion.formats import Format, Limits
from mlplatform.stores.batches import Manifest
from mlplatform.stores.lake import Lake, Table
from mlplatform.stores.raw import RawStore

SHOP, RAW, QUARANTINE = "shop", Table("shop", "raw_orders"), Table("shop", "quarantine")
DAYS = [f"2025-03-0{day}" for day in range(1, 8)]
HEADER = "order_id,placed,price\n"


class Orders(dy.Schema):
    order_id = dy.Int64(primary_key=True, min=1)
    placed = dy.String()
    price = dy.Float64(nullable=True)


@dataclass
class Shop:
    """A store of its own, a clock that goes a minute forward whenever it is asked, and the commits made."""

    folder: Path
    lake: Lake
    commits: list[str] = field(default_factory=list)
    minute: int = 0

    def clock(self) -> datetime:
        self.minute += 1
        return datetime(2025, 4, 1, tzinfo=UTC) + timedelta(minutes=self.minute)

    @property
    def store(self) -> RawStore:
        return RawStore(self.folder / "raw", self.lake, step=self._step)

    def service(
        self, rules: Rules = Rules(Orders), *, partitioned: bool = True, event_time: str = "placed"
    ) -> IngestionService:
        return IngestionService(
            self.store,
            SHOP,
            "orders",
            rules,
            partitioned=partitioned,
            event_time=event_time,
            clock=self.clock,
        )

    def ingest(
        self, *deliveries: Delivery, rules: Rules = Rules(Orders), expected: Expected = Expected()
    ) -> Ingested:
        return self.service(rules).ingest(deliveries, expected)

    @property
    def ids(self) -> list[int]:
        return self.lake.read(RAW)["order_id"].to_list()

    @property
    def manifests(self) -> list[Manifest]:
        return self.store.manifests(SHOP)

    def _step(self, name: str) -> None:
        if name == "after the commit":
            self.commits.append(name)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with closing(Lake(tmp_path / "lake" / "catalog.sqlite", tmp_path / "lake" / "data")) as lake:
        yield Shop(tmp_path, lake)


def csv(*ids: int | str, day: str = DAYS[0]) -> bytes:
    """A file of orders; the price is the id."""
    return (HEADER + "".join(f"{id},{day}T10:0{n % 10}:00Z,{id}\n" for n, id in enumerate(ids))).encode()


def delivered(partition: str, *contents: bytes, format: Format = "csv", **more: object) -> Delivery:
    parts = tuple(
        Part(f"test:/{partition}/{n}", format, content, **more)  # type: ignore[arg-type]
        for n, content in enumerate(contents)
    )
    return Delivery(partition, parts)


def a_day(partition: str, *ids: int | str) -> Delivery:
    return delivered(partition, csv(*ids, day=partition))


class TestAccepted:
    def test_rows_carry_their_batch_and_partition_and_the_bytes_are_kept(self, shop: Shop) -> None:
        content = csv(1, 2)
        done = shop.ingest(delivered(DAYS[0], content), expected=Expected(message_id="m-1"))
        (manifest,) = done.accepted
        assert (done.unchanged, done.refused, done.missing) == ([], [], [])
        done.raise_if_refused("orders")
        assert shop.manifests == [manifest]
        assert manifest.sha256 == sha256(content).hexdigest()
        assert manifest.objects == (manifest.sha256,)
        assert shop.store.path(manifest.sha256).read_bytes() == content
        assert (manifest.rows, manifest.rejected, manifest.bytes) == (2, 0, len(content))
        assert (manifest.source, manifest.message_id) == (f"test:/{DAYS[0]}/0", "m-1")
        assert manifest.schema_version == Rules(Orders).schema_version
        expected = pl.DataFrame(
            {
                "order_id": [1, 2],
                "placed": [f"{DAYS[0]}T10:0{n}:00Z" for n in range(2)],
                "price": [1.0, 2.0],
                "batch_id": [manifest.batch_id] * 2,
                "partition_key": [DAYS[0]] * 2,
            }
        )
        assert_frame_equal(shop.lake.read(RAW), expected)

    def test_the_range_of_the_rows_own_times(self, shop: Shop) -> None:
        rows = ["1,2025-03-01T09:00:00+02:00,1", "2,2025-03-01T08:30:00Z,", "3,sometime,3"]
        content = (HEADER + "\n".join(rows)).encode()
        (manifest,) = shop.ingest(delivered(DAYS[0], content)).accepted
        assert manifest.event_from == datetime(2025, 3, 1, 7, tzinfo=UTC)
        assert manifest.event_until == datetime(2025, 3, 1, 8, 30, tzinfo=UTC)
        service = shop.service(event_time="")
        (manifest,) = service.ingest([a_day(DAYS[1], 1)]).accepted
        assert (manifest.event_from, manifest.event_until) == (None, None)

    def test_no_row_where_that_is_allowed(self, shop: Shop) -> None:
        rules = Rules(Orders, allow_empty=True)
        shop.ingest(a_day(DAYS[0], 1), rules=rules)
        (manifest,) = shop.ingest(delivered(DAYS[0], HEADER.encode()), rules=rules).accepted
        assert (manifest.rows, manifest.event_from) == (0, None)
        assert shop.ids == []

    @pytest.mark.parametrize("gzipped", [False, True])
    @pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
    def test_every_format_serves_the_same_rows(self, shop: Shop, format: Format, gzipped: bool) -> None:
        rows = pl.read_csv(io.BytesIO(csv(1, 2)))
        parquet = io.BytesIO()
        rows.write_parquet(parquet)
        contents = {"csv": csv(1, 2), "jsonl": rows.write_ndjson().encode(), "parquet": parquet.getvalue()}
        content = gzip.compress(contents[format], mtime=0) if gzipped else contents[format]
        (manifest,) = shop.ingest(delivered(DAYS[0], content, format=format, gzipped=gzipped)).accepted
        assert shop.lake.read(RAW)["price"].to_list() == [1.0, 2.0]
        assert shop.store.path(manifest.sha256).read_bytes() == content

    def test_a_table_without_partitions(self, shop: Shop) -> None:
        for ids in ((1, 2), (3,)):
            shop.service(partitioned=False).ingest([a_day(WHOLE, *ids)])
        assert shop.ids == [3]
        assert shop.lake.read(RAW).columns == ["order_id", "placed", "price", "batch_id"]
        assert [manifest.current for manifest in shop.manifests] == [False, True]

    def test_documents(self, shop: Shop) -> None:
        content = b'{"b":  1}\n\nno object\n{"a": 2}\n' + b'{"c": 3}\n' * 20
        (manifest,) = shop.service(Rules(None), event_time="").ingest([delivered(DAYS[0], content)]).accepted
        assert (manifest.rows, manifest.rejected) == (22, 1)
        rows = shop.lake.read(RAW)
        assert rows.columns == ["document", "batch_id", "partition_key"]
        assert rows["document"].to_list() == ['{"b":  1}', '{"a": 2}', *['{"c": 3}'] * 20]
        assert shop.lake.read(QUARANTINE)["line"].to_list() == [3]


class TestAgain:
    def test_the_same_content_is_unchanged(self, shop: Shop) -> None:
        first = shop.ingest(a_day(DAYS[0], 1), a_day(DAYS[1], 2))
        again = shop.ingest(a_day(DAYS[0], 1), a_day(DAYS[1], 2))
        assert (again.accepted, again.unchanged) == ([], DAYS[:2])
        assert shop.manifests == first.accepted
        assert len(shop.commits) == 1

    def test_a_correction_replaces_its_day_only(self, shop: Shop) -> None:
        shop.ingest(a_day(DAYS[0], 1), a_day(DAYS[1], 2))
        done = shop.ingest(a_day(DAYS[0], 3), a_day(DAYS[1], 2))
        assert ([m.partition for m in done.accepted], done.unchanged) == ([DAYS[0]], [DAYS[1]])
        assert shop.ids == [3, 2]
        assert len(shop.manifests) == 3

    def test_a_day_has_the_same_batch_id_alone_and_in_a_range(self, shop: Shop) -> None:
        for day, ids in zip(DAYS, range(1, 8), strict=True):
            (shop.folder / f"{day}.csv").write_bytes(csv(ids, ids + 10, day=day))
        both = b"".join([csv(1, day=DAYS[0]), *(csv(n, day=DAYS[n])[len(HEADER) :] for n in range(1, 7))])
        (shop.folder / "all.csv").write_bytes(both)
        daily = files.open(shop.folder, path="{partition}.csv")
        shared = files.open(shop.folder, path="all.csv", day="placed")
        for source in (daily, shared):
            together = shop.service().ingest(source.deliveries(DAYS)).accepted
            rows = shop.lake.read(RAW)
            assert [manifest.partition for manifest in together] == DAYS
            for day in reversed(DAYS):
                assert shop.service().ingest(source.deliveries([day])).unchanged == [day]
            shop.lake.drop(Table(SHOP, "batches"))
            alone = [shop.service().ingest(source.deliveries([day])).accepted[0] for day in DAYS]
            assert [m.batch_id for m in alone] == [m.batch_id for m in together]
            assert_frame_equal(shop.lake.read(RAW), rows)

    def test_a_day_twice_in_one_ingestion_is_the_later_one(self, shop: Shop) -> None:
        shop.ingest(a_day(DAYS[0], 1, 2), a_day(DAYS[0], 3), a_day(DAYS[1], 4), a_day(DAYS[1], 4))
        assert shop.ids == [3, 4]
        assert [manifest.current for manifest in shop.manifests] == [False, True, True]

    def test_a_refused_file_that_is_sent_again_whole(self, shop: Shop) -> None:
        whole = gzip.compress(csv(1), mtime=0)
        cut = shop.ingest(delivered(DAYS[0], whole[:-9], gzipped=True))
        assert [m.status for m in cut.refused] == ["refused"]
        assert len(shop.ingest(delivered(DAYS[0], whole, gzipped=True)).accepted) == 1
        assert [(m.status, m.current) for m in shop.manifests] == [("refused", False), ("accepted", True)]


class TestRefused:
    @pytest.mark.parametrize(
        ("reason", "content", "more"),
        [
            ("empty", HEADER.encode(), {}),
            ("no-header", b"", {}),
            ("column-new", b"order_id,placed,price,x\n1,y,2,3\n", {}),
            ("row-length", HEADER.encode() + b"1,x\n", {}),
            ("nul-byte", csv(1) + b"\0", {}),
            ("json-damaged", b'{"order_id": 1', {"format": "jsonl"}),
            ("parquet-damaged", b"PAR1", {"format": "parquet"}),
            ("gzip-truncated", gzip.compress(csv(1), mtime=0)[:-1], {"gzipped": True}),
            ("decompression-bomb", gzip.compress(csv(*range(1, 200_000)), mtime=0), {"gzipped": True}),
            ("too-many-rejected", csv("one", *range(1, 9)), {}),
        ],
    )
    def test_what_is_served_stays_and_the_bytes_are_kept(
        self, shop: Shop, reason: str, content: bytes, more: dict[str, object]
    ) -> None:
        shop.ingest(a_day(DAYS[0], 7))
        rules = Rules(Orders, limits=Limits(most_bytes=1 << 20))
        done = shop.ingest(delivered(DAYS[0], content, **more), a_day(DAYS[1], 8), rules=rules)  # type: ignore[arg-type]
        (refused,) = done.refused
        assert refused.reason.startswith(f"{reason}: ")
        assert refused.rows == 0
        assert shop.store.path(refused.objects[0]).read_bytes() == content
        assert shop.ids == [7, 8]
        assert {m.partition: m.rows for m in shop.manifests if m.current} == {DAYS[0]: 1, DAYS[1]: 1}
        with pytest.raises(DeliveryRefused, match=f"orders {DAYS[0]}: refused, {reason}: ") as caught:
            done.raise_if_refused("orders")
        assert caught.value.reason == reason
        assert caught.value.hint

    def test_the_file_is_named(self, shop: Shop) -> None:
        done = shop.ingest(delivered(DAYS[0], csv(1), b"wrong"))
        assert done.refused[0].reason.startswith("column-renamed: 1: ")

    @pytest.mark.parametrize(
        ("expected", "reason"),
        [
            (Expected(rows=3), "row-count"),
            (Expected(sha256="0" * 64), "sha256"),
            (Expected(schema_version="00000000"), "schema-version"),
        ],
    )
    def test_other_than_declared(self, shop: Shop, expected: Expected, reason: str) -> None:
        done = shop.ingest(a_day(DAYS[0], 1, 2), expected=expected)
        assert [m.reason.partition(":")[0] for m in done.refused] == [reason]
        assert not shop.lake.exists(RAW)

    def test_as_declared(self, shop: Shop) -> None:
        content = csv(1, 2)
        expected = Expected(2, sha256(content).hexdigest(), Rules(Orders).schema_version)
        assert len(shop.ingest(delivered(DAYS[0], content), expected=expected).accepted) == 1

    def test_content_that_is_served_is_served_still_when_a_message_says_something_else(
        self, shop: Shop
    ) -> None:
        shop.ingest(a_day(DAYS[0], 1))
        shop.ingest(a_day(DAYS[0], 1), expected=Expected(rows=9))
        assert [(m.status, m.current) for m in shop.manifests] == [("accepted", True), ("refused", False)]
        assert shop.ids == [1]
        assert shop.ingest(a_day(DAYS[0], 1)).unchanged == [DAYS[0]]

    def test_nothing_delivered_is_told(self, shop: Shop) -> None:
        done = shop.ingest(Delivery(DAYS[0], ()), a_day(DAYS[1], 1), *(Delivery(day, ()) for day in DAYS[2:]))
        assert done.missing == [DAYS[0], *DAYS[2:]]
        assert [m.partition for m in done.accepted] == [DAYS[1]]
        with pytest.raises(SourceError, match=rf"orders: nothing was delivered for {DAYS[0]}, .* and 3 more"):
            done.raise_if_refused("orders")


class TestRejected:
    def test_single_rows_are_set_aside_with_reason_and_line(self, shop: Shop) -> None:
        (manifest,) = shop.ingest(a_day(DAYS[0], *range(1, 20), "twenty", 0, *range(21, 31))).accepted
        assert (manifest.rows, manifest.rejected) == (29, 2)
        found = shop.lake.read(QUARANTINE).sort("line")
        assert found.select("batch_id", "data_set", "partition", "reason", "line").rows() == [
            (manifest.batch_id, "orders", DAYS[0], "type: order_id is not Int64", 21),
            (manifest.batch_id, "orders", DAYS[0], "rule: order_id|min", 22),
        ]
        assert '"twenty"' in found["document"][0]
        assert 0 not in shop.ids

    def test_a_key_is_unique_within_its_partition_only(self, shop: Shop) -> None:
        rules = Rules(Orders, most_rejected=0.5)
        done = shop.ingest(a_day(DAYS[0], 1, 2, 3), a_day(DAYS[1], 1, 2, 2, 3, 4), rules=rules)
        assert [(m.rows, m.rejected) for m in done.accepted] == [(3, 0), (3, 2)]
        assert shop.ids == [1, 2, 3, 1, 3, 4]

    def test_too_many_refuse_their_partition_only(self, shop: Shop) -> None:
        done = shop.ingest(a_day(DAYS[0], 1, 2), a_day(DAYS[1], 1, "x"), a_day(DAYS[2], 4))
        assert [m.partition for m in done.accepted] == [DAYS[0], DAYS[2]]
        assert [m.partition for m in done.refused] == [DAYS[1]]
        assert shop.ids == [1, 2, 4]
        assert shop.lake.read(QUARANTINE)["partition"].to_list() == [DAYS[1]]

    def test_rejected_rows_of_a_replaced_batch_stay_with_it(self, shop: Shop) -> None:
        rules = Rules(Orders, most_rejected=1)
        first = shop.ingest(a_day(DAYS[0], 1, "x"), rules=rules).accepted[0]
        shop.ingest(a_day(DAYS[0], 1, 2), rules=rules)
        assert shop.lake.read(QUARANTINE)["batch_id"].to_list() == [first.batch_id]


class TestFiles:
    def test_several_files_are_one_delivery_of_their_day(self, shop: Shop) -> None:
        contents = csv(1), csv(2, 3)
        (manifest,) = shop.ingest(delivered(DAYS[0], *contents)).accepted
        assert manifest.objects == tuple(sha256(content).hexdigest() for content in contents)
        assert [shop.store.path(sha).read_bytes() for sha in manifest.objects] == list(contents)
        assert (manifest.rows, manifest.bytes) == (3, len(b"".join(contents)))
        assert shop.ids == [1, 2, 3]
        turned = shop.ingest(delivered(DAYS[0], *contents[::-1])).accepted
        assert turned[0].batch_id != manifest.batch_id

    def test_files_of_many_days_are_divided_and_read_once(self, shop: Shop) -> None:
        for number in range(20):
            content = HEADER + "".join(f"{100 * n + number},{day} 10:00,1\n" for n, day in enumerate(DAYS, 1))
            (shop.folder / f"part-{number:02}.csv").write_text(content)
        kept: list[str] = []
        store = RawStore(shop.folder / "raw", shop.lake, step=kept.append)
        service = IngestionService(store, SHOP, "orders", Rules(Orders), partitioned=True)
        source = files.open(shop.folder, path="part-*.csv", day="placed")
        done = service.ingest(source.deliveries([*DAYS, "2025-03-08"]))
        assert kept.count("before the sync") == 20
        assert [m.partition for m in done.accepted] == DAYS
        assert {m.rows for m in done.accepted} == {20}
        assert len({m.sha256 for m in done.accepted}) == 7
        assert len({m.objects for m in done.accepted}) == 1
        assert [m.reason.partition(":")[0] for m in done.refused] == ["empty"]
        assert shop.lake.read(RAW, partitions=DAYS[:1])["order_id"].to_list() == list(range(100, 120))

    def test_a_change_on_one_day_of_a_shared_file_is_a_batch_of_that_day_only(self, shop: Shop) -> None:
        file = shop.folder / "all.csv"
        source = files.open(shop.folder, path="all.csv", day="placed")
        file.write_text(HEADER + f"1,{DAYS[0]},1\n2,{DAYS[1]},2\n")
        shop.service().ingest(source.deliveries(DAYS[:2]))
        file.write_text(HEADER + f"3,{DAYS[1]},2\n1,{DAYS[0]},1\n2,{DAYS[1]},2\n")
        done = shop.service().ingest(source.deliveries(DAYS[:2]))
        assert (done.unchanged, [m.partition for m in done.accepted]) == ([DAYS[0]], [DAYS[1]])
        assert shop.ids == [1, 3, 2]

    def test_a_file_that_changes_while_it_is_taken_is_served_as_it_was_kept(self, shop: Shop) -> None:
        file = shop.folder / "day.csv"
        file.write_bytes(csv(1))

        def change(step: str) -> None:
            if step == "after the rename":
                file.write_bytes(csv(2))

        store = RawStore(shop.folder / "raw", shop.lake, step=change)
        service = IngestionService(store, SHOP, "orders", Rules(Orders), partitioned=True)
        (manifest,) = service.ingest([Delivery(DAYS[0], (Part(file.as_uri(), "csv", file),))]).accepted
        assert store.path(manifest.sha256).read_bytes() == csv(1)
        assert shop.ids == [1]


class TestCommits:
    @pytest.fixture
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ingestion_service, "ROWS_A_COMMIT", 5)

    def test_few_rows_are_one_commit(self, shop: Shop) -> None:
        shop.ingest(*(a_day(day, 1, 2) for day in DAYS))
        assert len(shop.commits) == 1

    @pytest.mark.usefixtures("small")
    def test_many_rows_are_several_and_the_result_is_the_same(self, shop: Shop) -> None:
        done = shop.ingest(*(a_day(day, 1, 2) for day in DAYS))
        assert [m.partition for m in done.accepted] == DAYS
        assert shop.ids == [1, 2] * 7
        assert len(shop.commits) == 3

    @pytest.mark.usefixtures("small")
    def test_deliveries_are_taken_one_at_a_time(self, shop: Shop) -> None:
        """What was committed is let go: a source is never ahead of the commits by more than one of them."""
        seen: list[int] = []

        def deliveries() -> Iterator[Delivery]:
            for day in DAYS:
                seen.append(len(shop.commits))
                yield a_day(day, *range(1, 7))

        shop.service().ingest(deliveries())
        assert seen == [0, 0, 1, 2, 3, 4, 5]

    def test_a_source_that_fails_in_the_middle_keeps_what_came_before(self, shop: Shop) -> None:
        def failing() -> Iterator[Delivery]:
            yield a_day(DAYS[0], 1)
            yield delivered(DAYS[1], b"wrong")
            raise SourceError("the server is down.")

        with pytest.raises(SourceError, match="the server is down"):
            shop.service().ingest(failing())
        assert shop.ids == [1]
        assert [(m.partition, m.status) for m in shop.manifests] == [
            (DAYS[0], "accepted"),
            (DAYS[1], "refused"),
        ]
        assert shop.ingest(a_day(DAYS[0], 1), a_day(DAYS[1], 2)).unchanged == [DAYS[0]]

    def test_a_disk_that_is_full_is_said_and_served_rows_stay(self, shop: Shop) -> None:
        shop.ingest(a_day(DAYS[0], 1))

        def full(path: Path) -> None:
            raise OSError(28, "No space left on device")

        store = RawStore(shop.folder / "raw", shop.lake, sync=full)
        service = IngestionService(store, SHOP, "orders", Rules(Orders), partitioned=True)
        with pytest.raises(StoreError, match="No space left"):
            service.ingest([a_day(DAYS[0], 2)])
        assert shop.ids == [1]
        assert len(shop.manifests) == 1

    def test_no_delivery_no_commit(self, shop: Shop) -> None:
        assert shop.ingest() == Ingested()
        assert not (shop.folder / "lake").exists()
