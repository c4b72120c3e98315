"""A query as a source, over a real SQLite database: rows in order, values as JSON, secrets never shown."""

import json
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mlplatform.errors import ConfigurationError, SourceAway, SourceError
from mlplatform.sources import sql
from mlplatform.sources._contract import WHOLE, Delivery

DAYS = ["2025-03-01", "2025-03-02"]
URL = "sqlite:///shop.db"
DAILY = "SELECT id, name FROM orders WHERE day = :partition ORDER BY id"
ROWS = [
    (1, "Ann", "2025-03-01", 9.5, None),
    (3, 'B"b\n✈', "2025-03-02", 0.1, "x"),
    (2, "' OR 1=1 --", "2025-03-02", 2**62, ""),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER, name TEXT, day TEXT, price REAL, note TEXT)")
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?)", ROWS)
        connection.commit()
    return tmp_path


def rows_of(delivery: Delivery) -> list[dict[str, Any]]:
    (part,) = delivery.parts
    assert part.format == "jsonl"
    assert isinstance(part.content, Path)
    return [json.loads(line) for line in part.content.read_bytes().splitlines()]


def whole(folder: Path, query: str, **options: str) -> list[dict[str, Any]]:
    (rows,) = [
        rows_of(delivery)
        for delivery in sql.open(folder, query=query, **{"url": URL, **options}).deliveries(None)
    ]
    return rows


def test_the_rows_of_each_day_in_the_order_of_the_query(folder: Path) -> None:
    found = [(d.partition, rows_of(d)) for d in sql.open(folder, query=DAILY, url=URL).deliveries(DAYS[::-1])]
    assert found == [
        (DAYS[1], [{"id": 2, "name": "' OR 1=1 --"}, {"id": 3, "name": 'B"b\n✈'}]),
        (DAYS[0], [{"id": 1, "name": "Ann"}]),
    ]


def test_the_day_is_a_bound_value(folder: Path) -> None:
    (delivery,) = [rows_of(d) for d in sql.open(folder, query=DAILY, url=URL).deliveries(["x' OR '1'='1"])]
    assert delivery == []


def test_one_whole_table(folder: Path) -> None:
    query = "SELECT * FROM orders ORDER BY id DESC"
    assert [row["id"] for row in whole(folder, query)] == [3, 2, 1]
    (delivery,) = [
        (d.partition, d.parts[0].uri) for d in sql.open(folder, query=query, url=URL).deliveries(None)
    ]
    assert delivery == (WHOLE, f"sqlite:///{folder / 'shop.db'}#{WHOLE}")


def test_values_of_every_type(folder: Path) -> None:
    query = (
        "SELECT NULL AS missing, 9223372036854775807 AS big, 0.1 AS x, 'é\"' AS text, x'616263' AS blob,"
        " CAST('2025-03-01' AS TEXT) AS day"
    )
    assert whole(folder, query) == [
        {"missing": None, "big": 2**63 - 1, "x": 0.1, "text": 'é"', "blob": "YWJj", "day": "2025-03-01"}
    ]


def test_many_rows_are_all_there(folder: Path) -> None:
    counting = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12345)"
    query = f"{counting} SELECT i FROM n ORDER BY i"
    assert [row["i"] for row in whole(folder, query)] == list(range(1, 12346))


def test_the_url_may_be_in_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_URL", URL)
    assert len(whole(folder, "SELECT id FROM orders", url="", url_env="SHOP_URL")) == 3


@pytest.mark.parametrize(("url", "url_env"), [("", ""), (URL, "SHOP_URL")])
def test_one_place_of_the_url(folder: Path, url: str, url_env: str) -> None:
    with pytest.raises(ConfigurationError, match="allowed: one of them"):
        sql.open(folder, query=DAILY, url=url, url_env=url_env)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hush",
        "nosuch://anna:hush@host/db",
        "postgresql+nosuch://anna:hush@host/db",
        "postgresql://anna:hu/sh@host/db",
        "oracle://anna:hush@host:port/db",
    ],
)
def test_a_url_that_cannot_be_used(folder: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_URL", url)
    with pytest.raises(
        ConfigurationError, match="the variable SHOP_URL is no usable SQLAlchemy URL"
    ) as caught:
        list(sql.open(folder, query=DAILY, url_env="SHOP_URL").deliveries(DAYS))
    assert "hu" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert "driver" in caught.value.hint


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELEC 1", "syntax error"),
        ("SELECT * FROM returns", "no such table: returns"),
        ("SELECT id FROM orders WHERE day = :other", "required for bind parameter 'other'"),
        ("DELETE FROM orders", "ResourceClosedError"),
        ("SELECT id, id FROM orders", "gives id more than once"),
    ],
)
def test_a_query_that_cannot_be_delivered(folder: Path, query: str, said: str) -> None:
    with pytest.raises(SourceError, match=said) as caught:
        whole(folder, query)
    assert caught.value.hint
    assert not isinstance(caught.value, SourceAway), "it would be tried again, in vain"
    assert len(whole(folder, "SELECT id FROM orders")) == 3


def test_what_may_pass_is_said_so_that_it_is_tried_again(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "shop.db")) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SourceAway, match="database is locked") as caught:
            whole(folder, "SELECT id FROM orders", url=f"{URL}?timeout=0.01")
    assert caught.value.hint
    assert len(whole(folder, "SELECT id FROM orders")) == 3


def test_a_server_that_is_not_up_may_be_later(folder: Path) -> None:
    pytest.importorskip("psycopg", reason="no psycopg")
    with closing(socket.create_server(("127.0.0.1", 0))) as nobody:
        port = nobody.getsockname()[1]
    with pytest.raises(SourceAway, match="does not answer"):
        whole(folder, "SELECT 1", url=f"postgresql+psycopg://anna:hush@127.0.0.1:{port}/shop")


def test_a_database_that_is_not_there_is_not_made(folder: Path) -> None:
    with pytest.raises(SourceError, match=r"there is no file .*other\.db"):
        whole(folder, "SELECT 1", url="sqlite:///other.db")
    assert not (folder / "other.db").exists()


def test_one_answer_is_not_every_day_s(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="no :partition"):
        list(sql.open(folder, query="SELECT * FROM orders", url=URL).deliveries(DAYS))


def test_no_secret_is_shown(folder: Path) -> None:
    url = "sqlite://anna:hush@/shop.db?password=hush"
    source = sql.open(folder, query=DAILY, url=url)
    assert "hush" not in repr(source)
    with pytest.raises((SourceError, ConfigurationError)) as caught:
        list(source.deliveries(DAYS))
    assert "hush" not in str(caught.value)
    found = sql.open(folder, query=DAILY, url=f"{URL}?timeout=7").deliveries(DAYS)
    assert [part.uri for delivery in found for part in delivery.parts] == [
        f"sqlite:///{folder / 'shop.db'}#{day}" for day in DAYS
    ]


def test_the_next_day_is_asked_for_when_it_is_wanted(folder: Path) -> None:
    deliveries = sql.open(folder, query=DAILY, url=URL).deliveries(DAYS)
    assert isinstance(deliveries, Iterator)
    file = next(deliveries).parts[0].content
    with closing(sqlite3.connect(folder / "shop.db")) as connection:
        connection.execute("INSERT INTO orders VALUES (9, 'late', ?, 1, NULL)", DAYS[1:])
        connection.commit()
    assert [row["id"] for row in rows_of(next(deliveries))] == [2, 3, 9]
    assert next(deliveries, None) is None
    assert isinstance(file, Path)
    assert not file.parent.exists()
