"""CSV files as a source: patterns, days, and everything that can be wrong with a delivery."""

import gzip
import re
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mlplatform.errors import ConfigurationError, ContractError, SourceError
from mlplatform.sources import csv_files

SCHEMA = pl.Schema({"id": pl.Int64, "placed": pl.String, "price": pl.Float64, "express": pl.Boolean})
FIRST = "id,placed,price,express\n1,2025-03-01T08:00:00Z,9.5,true\n2,2025-03-02T09:00:00Z,,FALSE\n"
SECOND = "express,price,placed,id\n0,3,2025-03-02T23:59:00Z,3\n1,NA,2025-03-04T00:00:00Z,4\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a-1.csv").write_text(FIRST)
    (tmp_path / "a-2.csv").write_text(SECOND)
    return tmp_path


def read(folder: Path, *days: str, path: str = "a-*.csv", schema: pl.Schema = SCHEMA) -> pl.DataFrame:
    return csv_files.open(folder, path=path, day="placed").read(schema, days or None)


def test_all_files_in_order_with_the_columns_and_types_of_the_contract(folder: Path) -> None:
    expected = pl.DataFrame(
        {
            "id": [1, 2, 3, 4],
            "placed": [f"2025-03-0{t}Z" for t in ("1T08:00:00", "2T09:00:00", "2T23:59:00", "4T00:00:00")],
            "price": [9.5, None, 3.0, None],
            "express": [True, False, False, True],
        },
        schema=SCHEMA,
    )
    assert_frame_equal(read(folder), expected)


def test_only_the_days_asked_for_come_with_their_key(folder: Path) -> None:
    rows = read(folder, "2025-03-02", "2025-03-03")
    assert rows.columns == [*SCHEMA, "partition_key"]
    assert rows.select("id", "partition_key").rows() == [(2, "2025-03-02"), (3, "2025-03-02")]
    assert read(folder, "2025-03-03").is_empty()
    assert read(folder, "2025-03-03").schema == rows.schema


def test_gzip_is_read(folder: Path) -> None:
    (folder / "b.csv.gz").write_bytes(gzip.compress(FIRST.encode()))
    assert_frame_equal(read(folder, path="b.csv.gz"), read(folder, path="a-1.csv"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (FIRST.replace("price", "prize"), r"\(missing: price; unexpected: prize\)"),
        ("id,placed,price\n1,2025-03-01,2\n", r"\(missing: express\)"),
        ("id,placed,price,express,colour,size\n", r"\(unexpected: colour, size\)"),
        ("id,placed,price,price,express\n", r"unexpected: price_dup"),
    ],
)
def test_other_columns_than_the_contract(folder: Path, text: str, said: str) -> None:
    (folder / "a-2.csv").write_text(text)
    with pytest.raises(
        ContractError, match=rf"a-2\.csv has other columns than its contract .*{said}"
    ) as caught:
        read(folder)
    assert "contract in features.py" in caught.value.hint


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("1,2025", "one,2025", "column 'id' has 1 values that are not Int64, the first is 'one'"),
        ("1,2025", "1.5,2025", "column 'id' has 1 values that are not Int64, the first is '1.5'"),
        ("1,2025", "9223372036854775808,2025", "column 'id' .* '9223372036854775808'"),
        ("9.5", "9,5", "a-1.csv cannot be read as CSV"),
        ("9.5", '"9,5"', "column 'price' has 1 values that are not Float64, the first is '9,5'"),
        ("true", "yes", "column 'express' has 1 values that are not Boolean, the first is 'yes'"),
    ],
)
def test_values_that_do_not_parse(folder: Path, old: str, new: str, said: str) -> None:
    (folder / "a-1.csv").write_text(FIRST.replace(old, new, 1))
    with pytest.raises(SourceError, match=said) as caught:
        read(folder)
    assert caught.value.hint


def test_days_and_times_are_types_too(folder: Path) -> None:
    (folder / "t.csv").write_text(
        "day,local,time\n"
        "2025-03-01,2025-03-01 10:00:00,2025-03-01T10:00:00Z\n"
        ",2025-03-01T10:00:00.25,2025-03-01 10:00:00+02:00\n"
        "2025-03-02,,2025-03-01T10:00:00\n"
    )
    schema = pl.Schema({"day": pl.Date, "local": pl.Datetime("us"), "time": pl.Datetime("us", "UTC")})
    rows = read(folder, path="t.csv", schema=schema)
    assert rows.schema == schema
    ten = datetime(2025, 3, 1, 10)
    assert rows["day"].to_list() == [date(2025, 3, 1), None, date(2025, 3, 2)]
    assert rows["local"].to_list() == [ten, ten.replace(microsecond=250_000), None]
    assert [time.isoformat() for time in rows["time"]] == [
        f"2025-03-01T{hour}:00:00+00:00" for hour in ("10", "08", "10")
    ]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (pl.Date(), "2025-02-30"),
        (pl.Datetime("us"), "2025-03-01T10:00:00Z"),
        (pl.Datetime("us", "UTC"), "yesterday"),
    ],
)
def test_days_and_times_that_are_none(folder: Path, kind: pl.DataType, text: str) -> None:
    (folder / "t.csv").write_text(f"time\n{text}\n")
    with pytest.raises(ContractError, match=f"column 'time' has 1 values that are not .* '{text}'"):
        read(folder, path="t.csv", schema=pl.Schema({"time": kind}))


def test_a_type_that_text_cannot_be(folder: Path) -> None:
    schema = pl.Schema({**SCHEMA, "id": pl.List(pl.Int64)})
    with pytest.raises(
        ConfigurationError, match=r"column 'id' of the contract is List\(Int64\); allowed: text"
    ):
        read(folder, schema=schema)


@pytest.mark.parametrize("day", ["", "NA", "01.03.2025", "2025-02-30T10:00:00Z"])
def test_a_row_without_a_day_is_refused_rather_than_lost(folder: Path, day: str) -> None:
    (folder / "a-1.csv").write_text(FIRST.replace("2025-03-01T08:00:00Z", day))
    with pytest.raises(ContractError, match="column 'placed' has 1 values that begin with no day"):
        read(folder, "2025-03-02")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.csv", b""),
        ("ragged.csv", b"id,placed,price,express\n1,2,3,4,5,6\n"),
        ("text.csv", b"id,placed,price,express\n1,\xff\xfe\x00,3,1\n"),
        ("plain.csv.gz", b"id,placed"),
        ("cut.csv.gz", gzip.compress(FIRST.encode())[:-20]),
        ("broken.csv.gz", gzip.compress(FIRST.encode())[:12] + b"\xff" * 40),
    ],
)
def test_a_damaged_file_is_named(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(SourceError, match=name) as caught:
        read(folder, path=name)
    assert caught.value.hint


def test_no_file(folder: Path) -> None:
    with pytest.raises(SourceError, match=r"no file matches 'b-\*\.csv'"):
        read(folder, path="b-*.csv")


@pytest.mark.parametrize("path", ["", "/data/*.csv"])
def test_a_path_that_is_none(folder: Path, path: str) -> None:
    with pytest.raises(ConfigurationError, match=f"got path {re.escape(repr(path))}; allowed: .*relative"):
        csv_files.open(folder, path=path)


def test_the_column_of_the_day_is_one_of_the_contract(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"options\.day is 'date'; allowed: .*id, placed, price"):
        csv_files.open(folder, path="a-*.csv", day="date").read(SCHEMA, ["2025-03-01"])
