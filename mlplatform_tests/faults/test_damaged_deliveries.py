"""Damaged deliveries: each kind is refused or set aside for its own named reason, none is taken in silence.

A correction of a partition arrives damaged, as CSV, JSON lines and Parquet, plain and gzip. If it is refused,
the partition serves what it served before, the refusal is listed, and the bytes are kept as they came. If
single rows are damaged, they are in the quarantine, and all others are served. Then random damage: whatever a
byte, a cut or a doubled line does, nothing else than those two may come of it.
"""

import gzip
import io
import json
import resource
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

import dataframely as dy
import hypothesis.strategies as st
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from polars.testing import assert_frame_equal

from mlplatform.offline.ingested import Expected, Ingested
from mlplatform.offline.ingestion_service import IngestionService
from mlplatform.sources._contract import Delivery, Part, format_of
from mlplatform.stages.ingestion.batch import Rules
from mlplatform.stores.batches import QUARANTINE
from mlplatform.stores.lake import Lake, Table
from mlplatform.stores.raw import RawStore
from mlplatform_tests.small.fake_lake import FakeLake

USE_CASE, DATA_SET = "orders", "sales"
SALES = Table(USE_CASE, f"raw_{DATA_SET}")
ROWS = 40
DAY = "2025-03-01"

Columns = dict[str, list[object]]


class Sales(dy.Schema):
    """What is delivered: a key, a text, a number that is always there, and one that may be missing."""

    sale = dy.Int64(primary_key=True)
    place = dy.String(nullable=False)
    price = dy.Float64(nullable=False)
    weight = dy.Int64(nullable=True)


def columns(price: float = 2.5) -> Columns:
    """Rows of a delivery; a correction has another price."""
    return {
        "sale": list(range(1, ROWS + 1)),
        "place": ['Zürich, "See"' if n % 10 == 0 else "Hamburg" for n in range(ROWS)],
        "price": [price + n for n in range(ROWS)],
        "weight": [None if n % 7 == 0 else n * 10 for n in range(ROWS)],
    }


def written(rows: Columns, file: str) -> bytes:
    """The rows as a file of the format that its name tells."""
    kind, gzipped = format_of(file)
    frame, buffer = pl.DataFrame(rows, strict=False), io.BytesIO()
    if kind == "csv":
        frame.write_csv(buffer)
    elif kind == "parquet":
        pq.write_table(frame.to_arrow(), buffer, write_page_checksum=True)
    else:
        frame.write_ndjson(buffer)
    return zipped(buffer.getvalue()) if gzipped else buffer.getvalue()


def zipped(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def place_of_bit(content: bytes, at: int, bit: int = 0) -> bytes:
    """The content with one bit flipped; a negative place counts from the end."""
    flipped = bytearray(content)
    flipped[at] ^= 1 << bit
    return bytes(flipped)


# damage of the rows, before any format


def renamed(rows: Columns) -> Columns:
    return {{"price": "cost"}.get(name, name): values for name, values in rows.items()}


def without(rows: Columns, name: str) -> Columns:
    return {each: values for each, values in rows.items() if each != name}


def reordered(rows: Columns) -> Columns:
    return {name: rows[name] for name in ("place", "sale", "price", "weight")}


def one_text(rows: Columns) -> Columns:
    return {**rows, "price": ["dear", *map(str, rows["price"][1:])]}


def doubled(rows: Columns) -> Columns:
    """The second row once more at the end."""
    return {name: [*values, values[1]] for name, values in rows.items()}


# damage of a text, before it is zipped


def at_line(content: bytes, number: int, change: Callable[[bytes], bytes]) -> bytes:
    lines = content.split(b"\n")
    lines[number - 1] = change(lines[number - 1])
    return b"\n".join(lines)


def key_twice(line: bytes) -> bytes:
    return line.replace(b'{"sale":', b'{"sale":7,"sale":', 1)


def without_price(line: bytes) -> bytes:
    document = json.loads(line)
    del document["price"]
    return json.dumps(document).encode()


@dataclass(frozen=True)
class Damage:
    """One kind of damage: what it does to the rows, to the text, or to the file, and what has to come of it.

    reason : of the refusal, or of the rows in the quarantine
    set_aside : keys of the rows that are set aside where the delivery is served; None: it is refused
    """

    name: str
    files: tuple[str, ...]
    reason: str
    rows: Callable[[Columns], Columns] = lambda rows: rows
    text: Callable[[bytes], bytes] = lambda text: text
    file: Callable[[bytes], bytes] = lambda content: content
    declared: Callable[[bytes], Expected] = lambda content: Expected()
    set_aside: tuple[int | None, ...] | None = None

    def content(self, file: str, rows: Columns) -> bytes:
        gzipped = file.endswith(".gz")
        text = self.text(written(self.rows(rows), file.removesuffix(".gz")))
        return self.file(zipped(text) if gzipped else text)


CSV = ("a.csv", "a.csv.gz")
JSON = ("a.jsonl", "a.jsonl.gz")
PARQUET = ("a.parquet", "a.parquet.gz")
TEXT = CSV + JSON
ALL = TEXT + PARQUET
GZIP = ("a.csv.gz", "a.jsonl.gz", "a.parquet.gz")


def parquet_with_a_name_twice(_: bytes) -> bytes:
    buffer = io.BytesIO()
    names = ["sale", "place", "price", "price", "weight"]
    pq.write_table(pa.table([pa.array([1])] * len(names), names=names), buffer)
    return buffer.getvalue()


@cache
def zeros_of(size: int) -> bytes:
    """Gzip that unpacks to so many bytes, a thousandth of it long."""
    packer, out = zlib.compressobj(9, wbits=31), io.BytesIO()
    for _ in range(size >> 20):
        out.write(packer.compress(b"0" * (1 << 20)))
    out.write(packer.flush())
    return out.getvalue()


def parquet_bomb(rows: int) -> bytes:
    """A Parquet file of few kilobytes that is so many rows of a long text."""
    buffer = io.BytesIO()
    text = pa.DictionaryArray.from_arrays(np.zeros(rows, np.int8), pa.array(["x" * 100]))
    pq.write_table(pa.table({"place": text}), buffer, compression="zstd")
    return buffer.getvalue()


DAMAGES = [
    # gzip
    Damage("gzip without its last bytes", GZIP, "gzip-truncated", file=lambda c: c[:-9]),
    Damage("gzip without its second half", GZIP, "gzip-truncated", file=lambda c: c[: len(c) // 2]),
    Damage("gzip of no byte", GZIP, "gzip-truncated", file=lambda c: b""),
    Damage("one bit of the checksum", GZIP, "gzip-damaged", file=lambda c: place_of_bit(c, -8)),
    Damage("one bit of the length", GZIP, "gzip-damaged", file=lambda c: place_of_bit(c, -4)),
    Damage("one bit of the stream", GZIP, "gzip-damaged", file=lambda c: place_of_bit(c, len(c) // 2, 3)),
    Damage("something after the gzip", GZIP, "gzip-damaged", file=lambda c: c + b"more"),
    Damage("no gzip at all", GZIP, "gzip-damaged", file=lambda c: b"sale,place,price,weight\n"),
    # rows of another shape
    Damage("short row", CSV, "row-length", text=lambda t: at_line(t, 7, lambda row: row.rpartition(b",")[0])),
    Damage("long row", CSV, "row-length", text=lambda t: at_line(t, 7, lambda row: row + b",1")),
    Damage("cut in its last row", CSV, "row-length", text=lambda t: t[: t.rindex(b"Hamburg")]),
    Damage("cut within quotes", CSV, "csv-damaged", text=lambda t: t[: t.rindex(b"See")]),
    Damage("no value", JSON, "rule: price", text=lambda t: at_line(t, 7, without_price), set_aside=(7,)),
    Damage(
        "row with a value more",
        JSON,
        "column-new",
        text=lambda t: at_line(t, 7, lambda row: row.replace(b"{", b'{"more":1,')),
    ),
    Damage("cut in its last row", JSON, "json-damaged", text=lambda t: t[:-9]),
    Damage("a list among objects", JSON, "json-damaged", text=lambda t: t + b"[1, 2]\n"),
    Damage("cut", ("a.parquet",), "parquet-damaged", file=lambda c: c[:-9]),
    Damage("one bit of a page", PARQUET, "parquet-damaged", text=lambda t: place_of_bit(t, 60, 3)),
    Damage("one bit of the footer's length", PARQUET, "parquet-damaged", text=lambda t: place_of_bit(t, -8)),
    # columns
    Damage("new column", ALL, "column-new", rows=lambda r: {**r, "more": r["sale"]}),
    Damage("missing column", ALL, "column-missing", rows=lambda r: without(r, "price")),
    Damage("renamed column", ALL, "column-renamed", rows=renamed),
    Damage("reordered columns", CSV + PARQUET, "column-order", rows=reordered),
    Damage("a name twice", CSV, "header-duplicate", text=lambda t: t.replace(b"weight", b"price", 1)),
    Damage("a name twice", JSON, "header-duplicate", text=lambda t: at_line(t, 7, key_twice)),
    Damage("a name twice", PARQUET, "parquet-damaged", text=parquet_with_a_name_twice),
    Damage("the header again", CSV, "header-duplicate", text=lambda t: t + t[: t.index(b"\n") + 1]),
    Damage("no header", CSV, "column-renamed", text=lambda t: t[t.index(b"\n") + 1 :].replace(b'"', b"", 0)),
    # values
    Damage("texts for numbers", ALL, "too-many-rejected", rows=lambda r: {**r, "price": r["place"]}),
    Damage("one text for a number", ALL, "type: price is not Float64", rows=one_text, set_aside=(1,)),
    Damage("a key twice", ALL, "rule: primary_key", rows=doubled, set_aside=(2, 2)),
    Damage(
        "a value missing",
        ALL,
        "rule: place",
        rows=lambda r: {**r, "place": [None, *r["place"][1:]]},
        set_aside=(1,),
    ),
    # bytes that are no text
    Damage("byte-order mark", TEXT, "byte-order-mark", text=lambda t: b"\xef\xbb\xbf" + t),
    Damage("UTF-16", TEXT, "byte-order-mark", text=lambda t: t.decode().encode("utf-16")),
    Damage("NUL", TEXT, "nul-byte", text=lambda t: t.replace(b"Hamburg", b"Ham\0urg", 1)),
    Damage("mixed encodings", TEXT, "encoding", text=lambda t: t.replace("ü".encode(), b"\xfc", 1)),
    # too little
    Damage("no rows", ALL, "empty", rows=lambda r: {name: values[:0] for name, values in r.items()}),
    Damage("no bytes", ("a.csv",), "no-header", file=lambda c: b""),
    Damage("no bytes", ("a.jsonl",), "empty", file=lambda c: b""),
    Damage("no bytes", ("a.parquet",), "parquet-damaged", file=lambda c: b""),
    # other than declared
    Damage("another hash", ALL, "sha256", declared=lambda c: Expected(sha256=sha256(c + b"x").hexdigest())),
    Damage("another number of rows", ALL, "row-count", declared=lambda c: Expected(rows=ROWS + 1)),
    Damage("another schema", ALL, "schema-version", declared=lambda c: Expected(schema_version="0")),
    Damage(
        "cut in its last cell",
        ("a.csv",),
        "sha256",
        file=lambda c: c[:-2],
        declared=lambda c: Expected(sha256=sha256(c + b"0\n").hexdigest()),
    ),
    # too much
    Damage("bomb", ("a.csv.gz", "a.jsonl.gz"), "decompression-bomb", file=lambda c: zeros_of(32 << 20)),
    Damage("bomb", PARQUET, "decompression-bomb", text=lambda t: parquet_bomb(1_000_000)),
]


@dataclass
class World:
    """A real lake, a store, and a service of a data set; every case has partitions of its own."""

    lake: Lake
    store: RawStore
    service: IngestionService

    def served(self, partition: str) -> pl.DataFrame:
        return self.lake.read(SALES, partitions=[partition]).select(list(columns())).sort("sale")

    def set_aside(self, batch: str) -> pl.DataFrame:
        return self.lake.read(Table(USE_CASE, QUARANTINE)).filter(batch_id=batch).sort("line")


def world_of(folder: Path, lake: Lake) -> World:
    store = RawStore(folder / "raw", lake)
    return World(lake, store, IngestionService(store, USE_CASE, DATA_SET, Rules(Sales), partitioned=True))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world in which the partition of every case has a good delivery."""
    folder = tmp_path_factory.mktemp("deliveries")
    with closing(Lake(folder / "catalog.sqlite", folder / "data")) as lake:
        world = world_of(folder, lake)
        good = [
            delivery(partition_of(damage, file), file, written(columns(), file))
            for damage in DAMAGES
            for file in damage.files
        ]
        done = world.service.ingest(good)
        assert len(done.accepted) == len(good) == sum(len(damage.files) for damage in DAMAGES)
        yield world


def partition_of(damage: Damage, file: str) -> str:
    return f"{damage.name}, {file}"


def delivery(partition: str, file: str, content: bytes) -> Delivery:
    kind, gzipped = format_of(file)
    return Delivery(partition, (Part(f"file:///in/{file}", kind, content, gzipped),))


def frame_of(rows: Columns) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={name: each.dtype for name, each in Sales.columns().items()})


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: f"{damage.name} {damage.files[0]}")
def test_damage_is_named_and_nothing_damaged_is_served(world: World, damage: Damage) -> None:
    for file in damage.files:
        partition, content = partition_of(damage, file), damage.content(file, columns(7.5))
        done = world.service.ingest([delivery(partition, file, content)], damage.declared(content))
        manifests = [m for m in world.store.manifests(USE_CASE) if m.partition == partition]
        (manifest,) = [*done.accepted, *done.refused]
        assert manifest.batch_id == manifests[-1].batch_id
        assert manifest.sha256 == sha256(content).hexdigest()
        assert world.store.path(manifest.sha256).read_bytes() == content
        newest_good = manifests[0 if damage.set_aside is None else 1]
        assert [m.batch_id for m in manifests if m.current] == [newest_good.batch_id]
        if damage.set_aside is None:
            assert (manifest.status, manifest.rows) == ("refused", 0)
            assert manifest.reason.startswith(f"{damage.reason}: "), file
            assert_frame_equal(world.served(partition), frame_of(columns()))
        else:
            rejected = world.set_aside(manifest.batch_id)
            assert manifest.status == "accepted", manifest.reason
            assert (manifest.rows, manifest.rejected) == (ROWS - len({*damage.set_aside}), rejected.height)
            assert all(reason.startswith(damage.reason) for reason in rejected["reason"]), rejected["reason"]
            keys = [int(json.loads(document)["sale"]) for document in rejected["document"]]
            assert tuple(keys) == damage.set_aside
            good = frame_of(columns(7.5)).filter(~pl.col("sale").is_in(keys))
            assert_frame_equal(world.served(partition), good)


def test_what_is_no_damage_is_served(world: World) -> None:
    rows = columns(7.5)
    csv = written(rows, "a.csv")
    content = {
        "reordered keys of JSON": ("a.jsonl", written(reordered(rows), "a.jsonl")),
        "JSON without what may be missing": ("a.jsonl", written(without(rows, "weight"), "a.jsonl")),
        "blank lines in CSV": ("a.csv", at_line(csv, 4, lambda row: b"\n" + row) + b"\n\r\n"),
        "lines that end as in DOS": ("a.csv", csv.replace(b"\n", b"\r\n")),
        "no end of the last line": ("a.csv", csv.removesuffix(b"\n")),
        "two gzips one after the other": ("a.csv.gz", zipped(csv[:500]) + zipped(csv[500:])),
    }
    done = world.service.ingest(delivery(name, *each) for name, each in content.items())
    assert [m.reason for m in done.refused] == []
    for name in content:
        expected = rows if "missing" not in name else {**rows, "weight": [None] * ROWS}
        assert_frame_equal(world.served(name), frame_of(expected))


def test_a_refusal_leaves_the_quarantine_of_the_same_content(world: World) -> None:
    content = written(one_text(columns()), "a.csv")
    (accepted,) = world.service.ingest([delivery("twice", "a.csv", content)]).accepted
    (refused,) = world.service.ingest([delivery("twice", "a.csv", content)], Expected(rows=1)).refused
    assert refused.sha256 == accepted.sha256
    assert world.set_aside(accepted.batch_id).height == 1
    assert world.served("twice").height == ROWS - 1


def test_the_table_has_the_kinds_that_were_promised() -> None:
    reasons = {damage.reason for damage in DAMAGES}
    assert len(DAMAGES) >= 40
    assert len(reasons) >= 20
    assert sum(len(damage.files) for damage in DAMAGES) >= 100


# a bomb of a gigabyte, in a process of its own


def be_child(folder: Path, bomb: Path, file: str) -> None:
    """Ingest a good delivery, then the bomb; prints the reason, and by how many bytes memory grew at most."""
    with closing(Lake(folder / "catalog.sqlite", folder / "data")) as lake:
        world = world_of(folder, lake)
        world.service.ingest([delivery(DAY, file, written(columns(), file))])
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (600 << 20),) * 2)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        kind, gzipped = format_of(file)
        part = Part(bomb.as_uri(), kind, bomb, gzipped)
        done = world.service.ingest([Delivery(DAY, (part,))])
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
        served = world.served(DAY).equals(frame_of(columns()))
    print(json.dumps({"reason": [m.reason for m in done.refused], "grown": grown, "served": served}))


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "file",
    ["bomb.csv.gz", pytest.param("bomb.jsonl.gz", marks=SLOW), pytest.param("bomb.parquet", marks=SLOW)],
)
def test_a_gigabyte_in_a_megabyte_takes_no_memory(tmp_path: Path, file: str) -> None:
    bomb = tmp_path / file
    bomb.write_bytes(parquet_bomb(100_000_000) if file.endswith("parquet") else zeros_of(1 << 30))
    assert bomb.stat().st_size < 2 << 20
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(tmp_path), str(bomb), file],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    print(f"{file}: {said['grown'] >> 20} MB more at the most")
    assert [reason.partition(":")[0] for reason in said["reason"]] == ["decompression-bomb"]
    assert said["grown"] < 300 << 20
    assert said["served"]


# random damage


def lines_of(content: bytes, file: str) -> int:
    """Rows that a file has, counted without any of our parsers; none of them holds a line end."""
    kind, gzipped = format_of(file)
    text = gzip.decompress(content) if gzipped else content
    if kind == "parquet":
        return int(pq.ParquetFile(io.BytesIO(text)).metadata.num_rows)
    lines = sum(bool(line.strip()) for line in text.split(b"\n"))
    return lines - (kind == "csv")


@st.composite
def damaged(draw: st.DrawFn, file: str) -> bytes:
    """A correction with a byte flipped, cut somewhere, or with lines doubled (before it is zipped)."""
    kind, gzipped = format_of(file)
    content = written(columns(7.5), file)
    match draw(st.sampled_from(["byte", "cut"] if kind == "parquet" else ["byte", "byte", "cut", "lines"])):
        case "byte":
            at = draw(st.integers(0, len(content) - 1))
            return content[:at] + bytes([content[at] ^ draw(st.integers(1, 255))]) + content[at + 1 :]
        case "cut":
            return content[: draw(st.integers(0, len(content) - 1))]
        case _:
            lines = (gzip.decompress(content) if gzipped else content).splitlines(keepends=True)
            for _ in range(draw(st.integers(1, 3))):
                at = draw(st.integers(0, len(lines) - 1))
                lines.insert(draw(st.integers(0, len(lines))), lines[at])
            return zipped(b"".join(lines)) if gzipped else b"".join(lines)


GOOD = {file: written(columns(), file) for file in ("a.csv",)}


def check_damaged(file: str, content: bytes) -> Ingested:
    """Old rows are served, or those of a parse that accounts for every line."""
    with tempfile.TemporaryDirectory() as folder:
        world = world_of(Path(folder), FakeLake().as_lake())
        world.service.ingest([delivery(DAY, "a.csv", GOOD["a.csv"])])
        done = world.service.ingest([delivery(DAY, file, content)])
        if done.refused:
            assert_frame_equal(world.served(DAY), frame_of(columns()))
        else:
            (manifest,) = done.accepted
            assert manifest.rows == world.served(DAY).height
            assert manifest.rejected == world.set_aside(manifest.batch_id).height
            assert manifest.rows + manifest.rejected == lines_of(content, file)
    return done


@pytest.mark.parametrize(
    "file",
    ["a.csv", *(pytest.param(name, marks=SLOW) for name in ("a.csv.gz", "a.jsonl", "a.parquet"))],
)
def test_random_damage_is_refused_or_every_line_is_accounted_for(file: str) -> None:
    counts = {"accepted": 0, "refused": 0}

    @settings(max_examples=200, deadline=None, database=None)
    @given(content=damaged(file))
    def check(content: bytes) -> None:
        counts["refused" if check_damaged(file, content).refused else "accepted"] += 1

    check()
    print(f"{file}: {counts}")
    assert counts["refused"] > 20


if __name__ == "__main__":
    be_child(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
