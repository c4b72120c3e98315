"""Deliveries in any order: twice, late, back again, damaged, after a restart, with the clock set back.

After every step the store is what a plain dict says: a partition serves its newest accepted delivery, each
distinct content accepted is one batch, each distinct content refused one refusal, and the quarantine has the
rejected rows of both. Sequences run on a lake in memory, a few on the real one, and those two are compared.
"""

import gzip
import json
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dataframely as dy
import hypothesis.strategies as st
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from polars.testing import assert_frame_equal

from mlplatform.errors import StoreError
from mlplatform.offline.ingested import Expected, Ingested
from mlplatform.offline.ingestion_service import IngestionService
from mlplatform.sources._contract import Delivery, Part, format_of
from mlplatform.stages.ingestion.batch import Rules
from mlplatform.stores.batches import BATCHES, QUARANTINE
from mlplatform.stores.lake import Lake, Table, Write
from mlplatform.stores.raw import RawStore
from mlplatform_tests.small.fake_lake import FakeLake

USE_CASE, DATA_SET = "orders", "sales"
SALES = Table(USE_CASE, f"raw_{DATA_SET}")
MEMORY = Path("/dev/shm")
"""Where a sync takes no time; that syncs are made is tested elsewhere."""
PARTITIONS = ["2025-03-01", "2025-03-02", "2025-03-03"]

Row = tuple[int, float]


class Sales(dy.Schema):
    """What is delivered."""

    sale = dy.Int64(primary_key=True)
    price = dy.Float64(nullable=False)


@dataclass(frozen=True)
class Content:
    """A delivery's bytes, and what they are good for: rows served, lines set aside, or refused at all."""

    file: str
    content: bytes
    rows: tuple[Row, ...]
    rejected: tuple[int, ...] = ()
    refused: str = ""


def csv_of(rows: list[Row]) -> bytes:
    return b"sale,price\n" + b"".join(b"%d,%.1f\n" % row for row in rows)


def contents() -> list[Content]:
    first, second, third, fourth = ([(n, n * price) for n in range(10 + price)] for price in (1, 2, 3, 4))
    lines = "".join(json.dumps({"sale": sale, "price": price}) + "\n" for sale, price in second)
    bad = csv_of(fourth) + b"99,dear\n"
    return [
        Content("a.csv", csv_of(first), tuple(first)),
        Content("b.jsonl", lines.encode(), tuple(second)),
        Content("c.csv.gz", gzip.compress(csv_of(third), mtime=0), tuple(third)),
        Content("d.csv", bad, tuple(fourth), rejected=(len(fourth) + 2,)),
    ]


def damaged() -> list[Content]:
    whole = csv_of([(n, 9.0) for n in range(12)])
    return [
        Content("e.csv", whole + b"7\n", (), refused="row-length"),
        Content("f.csv.gz", gzip.compress(whole, mtime=0)[:-5], (), refused="gzip-truncated"),
        Content("g.csv", whole + b"1,x\n2,y\n", (), (14, 15), refused="too-many-rejected"),
    ]


GOOD, DAMAGED = contents(), damaged()


@dataclass
class Model:
    """What should be in the store, by partition and content."""

    served: dict[str, Content] = field(default_factory=dict)
    accepted: set[tuple[str, Content]] = field(default_factory=set)
    refused: dict[tuple[str, Content], str] = field(default_factory=dict)
    set_aside: set[tuple[str, Content]] = field(default_factory=set)

    def rows(self) -> list[tuple[str, int, float]]:
        return [(key, *row) for key, content in self.served.items() for row in content.rows]

    def rejected(self) -> list[tuple[str, str, int]]:
        return [(key, name.file, line) for key, name in self.set_aside for line in name.rejected]


class Deliveries(RuleBasedStateMachine):
    """Deliveries to a service on a lake in memory; restarts make new objects on the same files."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
        self.home = Path(self.folder.name)
        self.model, self.set_back, self.steps = Model(), timedelta(), 0
        self.fake = FakeLake()
        self.start()

    def open_lake(self) -> Lake:
        return self.fake.as_lake()

    def clock(self) -> datetime:
        self.steps += 1
        return datetime(2025, 4, 1, tzinfo=UTC) + timedelta(seconds=self.steps) - self.set_back

    def start(self) -> None:
        self.lake = self.open_lake()
        self.store = RawStore(self.home / "raw", self.lake)
        self.service = IngestionService(
            self.store, USE_CASE, DATA_SET, Rules(Sales), partitioned=True, clock=self.clock
        )

    def teardown(self) -> None:
        self.lake.close()
        self.folder.cleanup()

    def ingest(self, deliveries: list[tuple[str, Content]], expected: Expected = Expected()) -> Ingested:
        done = self.service.ingest([delivery(key, content) for key, content in deliveries], expected)
        accepted, unchanged = [], []
        for key, content in deliveries:
            reason = content.refused or "row-count" * (expected.rows is not None)
            if reason:
                self.model.refused[key, content] = reason
            elif self.model.served.get(key) == content:
                unchanged.append(key)
            else:
                accepted.append(key)
                self.model.served[key] = content
                self.model.accepted.add((key, content))
            if content.rejected and reason in ("", "too-many-rejected"):
                self.model.set_aside.add((key, content))
        assert sorted(m.partition for m in done.accepted) == sorted(accepted)
        assert sorted(done.unchanged) == sorted(unchanged)
        assert len(done.refused) == len(deliveries) - len(accepted) - len(unchanged)
        return done

    @rule(key=st.sampled_from(PARTITIONS), content=st.sampled_from(GOOD))
    def deliver(self, key: str, content: Content) -> None:
        self.ingest([(key, content)])

    @precondition(lambda self: self.model.served)
    @rule(data=st.data())
    def deliver_again(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.model.served)))
        assert self.ingest([(key, self.model.served[key])]).unchanged == [key]

    @precondition(lambda self: len(self.model.accepted) > len(self.model.served))
    @rule(data=st.data())
    def deliver_what_was_replaced(self, data: st.DataObject) -> None:
        older = [each for each in self.model.accepted if self.model.served[each[0]] != each[1]]
        self.ingest([data.draw(st.sampled_from(sorted(older, key=lambda each: (each[0], each[1].file))))])

    @rule(
        deliveries=st.lists(
            st.tuples(st.sampled_from(PARTITIONS), st.sampled_from(GOOD + DAMAGED)), min_size=2, max_size=4
        )
    )
    def deliver_several_at_once(self, deliveries: list[tuple[str, Content]]) -> None:
        self.ingest(deliveries)

    @rule(key=st.sampled_from(PARTITIONS), content=st.sampled_from(DAMAGED))
    def deliver_damaged(self, key: str, content: Content) -> None:
        self.ingest([(key, content)])

    @rule(key=st.sampled_from(PARTITIONS), content=st.sampled_from(GOOD))
    def deliver_with_a_wrong_number_of_rows_declared(self, key: str, content: Content) -> None:
        self.ingest([(key, content)], Expected(rows=3))

    @rule()
    def restart(self) -> None:
        self.lake.close()
        self.start()

    @rule(hours=st.integers(1, 48))
    def set_the_clock_back(self, hours: int) -> None:
        self.set_back += timedelta(hours=hours)

    @invariant()
    def the_store_is_what_the_model_says(self) -> None:
        if not self.lake.exists(Table(USE_CASE, BATCHES)):
            assert self.model == Model()
            return
        manifests = self.store.manifests(USE_CASE)
        files = {m.batch_id: m.source.rpartition("/")[2] for m in manifests}
        accepted = [(m.partition, files[m.batch_id]) for m in manifests if m.status == "accepted"]
        assert sorted(accepted) == sorted((key, content.file) for key, content in self.model.accepted)
        refused = [
            (m.partition, files[m.batch_id], m.reason.partition(":")[0])
            for m in manifests
            if m.status == "refused"
        ]
        assert sorted(refused) == sorted((k, c.file, reason) for (k, c), reason in self.model.refused.items())
        current = {m.partition: files[m.batch_id] for m in manifests if m.current}
        assert current == {key: content.file for key, content in self.model.served.items()}
        set_aside = self.lake.read(Table(USE_CASE, QUARANTINE)).select("partition", "batch_id", "line").rows()
        named = [(partition, files[id], line) for partition, id, line in set_aside]
        assert sorted(named) == sorted(self.model.rejected())
        if not self.lake.exists(SALES):
            assert not self.model.served
            return
        rows = self.lake.read(SALES)
        assert sorted(rows.select("partition_key", "sale", "price").rows()) == sorted(self.model.rows())
        by_batch = {(key, files[id]) for key, id in rows.select("partition_key", "batch_id").unique().rows()}
        assert by_batch == {(key, content.file) for key, content in self.model.served.items()}


class DeliveriesOnTheLake(Deliveries):
    """The same on the real lake."""

    def open_lake(self) -> Lake:
        return lake_in(self.home)


def lake_in(folder: Path) -> Lake:
    return Lake(folder / "catalog.sqlite", folder / "data")


def delivery(key: str, content: Content) -> Delivery:
    return Delivery(key, (Part(f"file:///in/{content.file}", *formatted(content)),))


def formatted(content: Content) -> tuple[str, bytes, bool]:
    kind, gzipped = format_of(content.file)
    return kind, content.content, gzipped


def run(machine: Callable[[], RuleBasedStateMachine], sequences: int, steps: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=sequences,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_100_sequences_of_deliveries_leave_what_a_dict_says() -> None:
    run(Deliveries, sequences=100, steps=8)


@pytest.mark.slow
def test_500_sequences_of_deliveries_leave_what_a_dict_says() -> None:
    run(Deliveries, sequences=500, steps=8)


@pytest.mark.slow
def test_20_sequences_of_deliveries_on_the_real_lake_leave_what_a_dict_says() -> None:
    run(DeliveriesOnTheLake, sequences=20, steps=10)


# the lake in memory is as the real one

TABLES = st.sampled_from([Table(USE_CASE, "one"), Table(USE_CASE, "two")])


@st.composite
def writes(draw: st.DrawFn) -> list[Write]:
    """Writes as the Raw Data Store makes them, each table once, and some that no lake takes."""
    made = []
    for table in draw(st.lists(TABLES, min_size=1, max_size=2, unique=True)):
        whole = draw(st.booleans())
        keys = draw(st.lists(st.sampled_from(PARTITIONS), min_size=1, max_size=3))
        held = draw(st.lists(st.sampled_from(PARTITIONS), max_size=4))
        frame = pl.DataFrame(
            {
                "partition_key": held,
                "value": [draw(st.integers(0, 9)) for _ in held],
                "objects": [[key] for key in held],
                "at": [datetime(2025, 1, 1, tzinfo=UTC)] * len(held),
            },
            schema={
                "partition_key": pl.String,
                "value": pl.Int64,
                "objects": pl.List(pl.String),
                "at": pl.Datetime("us", "UTC"),
            },
        )
        if draw(st.integers(0, 9)) == 0:
            frame = frame.with_columns(pl.col("value").cast(pl.String))
        # Half of them break no rule, so that most lists of writes can be done.
        fits = draw(st.booleans())
        keys = sorted({*keys, *held}) if fits else keys
        made.append(Write(table, frame, None if whole else keys, allow_empty=fits))
    return made


def written(lake: Lake | FakeLake, each: list[Write]) -> str:
    try:
        lake.write_all(each)
    except StoreError as error:
        return type(error).__name__
    return "done"


@pytest.mark.slow
@settings(max_examples=12, deadline=None, database=None)
@given(steps=st.lists(writes(), min_size=3, max_size=6))
def test_the_lake_in_memory_takes_and_refuses_what_the_real_one_does(steps: list[list[Write]]) -> None:
    fake = FakeLake()
    with tempfile.TemporaryDirectory() as name, closing(lake_in(Path(name))) as real:
        for step in steps:
            assert written(fake, step) == written(real, step)
            for table in {each.table for each in step}:
                assert fake.exists(table) == real.exists(table)
                for keys in (None, PARTITIONS[:1], []) if real.exists(table) else ():
                    same_rows(fake.read(table, partitions=keys), real.read(table, partitions=keys))
                for columns in (["value"], ["at", "partition_key"]) if real.exists(table) else ():
                    got, expected = (lake.read(table, columns=columns) for lake in (fake, real))
                    assert_frame_equal(got.sort(pl.all()), expected.sort(pl.all()))


def same_rows(got: pl.DataFrame, expected: pl.DataFrame) -> None:
    assert got.columns == expected.columns
    assert got["partition_key"].to_list() == expected["partition_key"].to_list()
    assert_frame_equal(got.sort(pl.all()), expected.sort(pl.all()))
