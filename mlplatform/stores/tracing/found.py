"""Scores by many ids at once, as frames: what was answered online, and what batch computed.

`scores_by_id.py` looks one up quickly. It must not interpret a row.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from mlplatform.stores.lake import Lake
from mlplatform.stores.scores_by_id import SCORES, TABLES
from mlplatform.stores.served import SERVED

ID = "prediction_id"
_WHICH = (
    "SELECT DISTINCT schema_name, table_name FROM duckdb_columns() WHERE database_name = current_database() "
    "AND column_name = 'prediction_id' AND table_name IN (?, ?) ORDER BY 1, 2"
)


@dataclass(frozen=True)
class Found:
    """Rows of one table of one use case, an id once."""

    use_case: str
    table: str
    rows: pl.DataFrame
    both: frozenset[str] = frozenset()
    """Ids that are in the other table too: the same question answered alike has the same id."""


def tables(lake: Lake) -> list[tuple[str, str]]:
    """Use case and name of every table that holds scores with ids."""
    found = lake.sql(_WHICH, list(TABLES))
    return [(schema, name) for schema, name in found.iter_rows()]


def find(lake: Lake, ids: Sequence[str]) -> Iterator[Found]:
    """The scores of these ids; one that was answered online is taken from there.

    Raises
    ------
    StoreError
        if the lake cannot be read; NotFound if there is none.
    """
    wanted, there = list(dict.fromkeys(ids)), tables(lake)
    for use_case in dict.fromkeys(schema for schema, _ in there):
        read = {
            name: lake.sql(
                f'SELECT * FROM "{schema}"."{name}" WHERE {ID} IN (SELECT unnest(?::VARCHAR[]))', [wanted]
            ).unique(ID, keep="first", maintain_order=True)
            for schema, name in there
            if schema == use_case
        }
        served, scores = read.get(SERVED), read.get(SCORES)
        if served is not None and scores is not None:
            both = frozenset(served.join(scores, on=ID, how="semi")[ID].to_list())
            yield Found(use_case, SERVED, served, both)
            yield Found(use_case, SCORES, scores.filter(~pl.col(ID).is_in(list(both))))
        else:
            for name, rows in read.items():
                yield Found(use_case, name, rows)
