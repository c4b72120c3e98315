"""Scores by id: found in either table of every use case, also if committed meanwhile; none is no error."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from mlplatform.errors import StoreError
from mlplatform.stores.lake import Lake, Table
from mlplatform.stores.scores_by_id import ScoresById

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    with closing(Lake(tmp_path / "catalog.sqlite", tmp_path / "data")) as opened:
        yield opened


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[ScoresById]:
    with closing(ScoresById(tmp_path / "catalog.sqlite", tmp_path / "data")) as opened:
        yield opened


def row(id: str, **more: object) -> pl.DataFrame:
    return pl.DataFrame({"prediction_id": [id], **{name: [value] for name, value in more.items()}})


def test_no_lake_an_empty_catalogue_and_tables_without_ids(
    tmp_path: Path, stored: ScoresById, lake: Lake
) -> None:
    assert stored.find("a") is None
    (tmp_path / "catalog.sqlite").touch()
    assert stored.find("a") is None
    lake.write(Table("old", "scores"), pl.DataFrame({"score": [1.0]}))
    assert stored.find("a") is None


def test_what_is_committed_meanwhile_is_found(stored: ScoresById, lake: Lake) -> None:
    lake.write(Table("returns", "scores"), row("a", score=0.5, as_of=NOON, rank=1, partition_key="x"), ["x"])
    assert stored.find("a") == {
        "use_case": "returns",
        "prediction_id": "a",
        "score": 0.5,
        "as_of": NOON,
        "facts": {"rank": 1},
        "stored_in": "scores",
    }
    assert stored.find("b") is None
    lake.write(Table("other", "scores"), row("b", score=0.25))
    lake.write(Table("returns", "served"), row("a", score=0.5, vector=[1.0], partition_key="x"), ["x"])
    assert (stored.find("b") or {})["use_case"] == "other"
    assert (stored.find("a") or {})["stored_in"] == "served"


def test_a_catalogue_that_is_damaged(tmp_path: Path, stored: ScoresById) -> None:
    (tmp_path / "catalog.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="scores by id"):
        stored.find("a")
