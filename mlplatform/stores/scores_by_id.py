"""Scores out of the Score Data Store by their prediction id: what was answered online, what batch computed.

It has one open connection, as opening one takes longer than a look-up. It must not write, and blocks while
the lake is read.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import duckdb

from mlplatform.crosscutting.settings import Settings
from mlplatform.stages.scoring.score import Answer
from mlplatform.stores.lake_connection import Connect, Cursor, Session, errors_of, in_memory
from mlplatform.stores.lake_sql import KEY, READER, Table, attach
from mlplatform.stores.served import SERVED

SCORES = "scores"
TABLES = (SERVED, SCORES)
"""Where is looked, in this order."""
_ID = "prediction_id"
_OURS = frozenset(Answer.__struct_encode_fields__)
_LEFT_OUT = frozenset({"vector", KEY})
_WHICH = (
    "SELECT schema_name, table_name FROM duckdb_columns() "
    "WHERE database_name = ? AND column_name = ? AND table_name IN (?, ?)"
)


class ScoresById:
    """Looks scores up in the tables `served` and `scores` of every use case; for use from many threads.

    Parameters
    ----------
    catalog, data : the lake's, as of `Lake`.
    """

    def __init__(self, catalog: Path, data: Path, connect: Connect = in_memory) -> None:
        self._catalog = catalog.absolute()
        self._attach = attach(READER, self._catalog, data.absolute())
        self._session = Session(connect)

    @classmethod
    def from_settings(cls, settings: Settings) -> "ScoresById":
        """Those of a deployment."""
        return cls(settings.lake_catalog, settings.lake_data)

    def find(self, id: str) -> dict[str, Any] | None:
        """What is stored of a score; None if there is none with this id, or no lake yet.

        What an answer has too is named alike; `facts` has the other columns, `stored_in` names the table.
        A table without prediction ids is passed over.

        Raises
        ------
        StoreError
            if the lake cannot be read.
        """
        if not self._catalog.exists():
            return None
        with errors_of("scores by id"), self._reading() as cursor:
            table = None if cursor is None else _where(cursor, id)
            return None if cursor is None or table is None else _row(cursor, table, id)

    def close(self) -> None:
        """Let go of the lake; the next look-up opens it again."""
        self._session.close()

    @contextmanager
    def _reading(self) -> Iterator[Cursor | None]:
        """A cursor; None where a process that was killed while it made the lake left an empty catalogue."""
        try:
            cursor = self._session.cursor(READER, self._attach)
        except duckdb.InvalidInputException as error:
            if "does not exist - and" not in str(error):
                raise
            yield None
            return
        with closing(cursor):
            yield cursor


def _where(cursor: Cursor, id: str) -> Table | None:
    found = cursor.execute(_WHICH, [READER, _ID, *TABLES]).fetchall()
    tables = [Table(schema, name) for schema, name in found]
    tables.sort(key=lambda table: (TABLES.index(table.name), table.schema))
    if not tables:
        return None
    selects = [
        f"SELECT {place} AS place FROM {table.within(READER)} WHERE {_ID} = ?"
        for place, table in enumerate(tables)
    ]
    query = f"SELECT min(place) FROM ({' UNION ALL '.join(selects)})"
    ((place,),) = cursor.execute(query, [id] * len(tables)).fetchall()
    return None if place is None else tables[place]


def _row(cursor: Cursor, table: Table, id: str) -> dict[str, Any] | None:
    query = f"SELECT * FROM {table.within(READER)} WHERE {_ID} = ? LIMIT 1"
    for row in cursor.execute(query, [id]).pl().iter_rows(named=True):  # a row of Python has no time zones
        said = {name: value for name, value in row.items() if name in _OURS}
        facts = {name: value for name, value in row.items() if name not in _OURS | _LEFT_OUT}
        return {"use_case": table.schema, **said, "facts": facts, "stored_in": table.name}
    return None
