"""Names, statements and schema comparison of the lake.

It must not open a connection or a file: text and values in, text out. Identifiers are checked or quoted,
values are literals that `text` and `moment` make: at the first bound parameter of a process DuckDB imports
pandas (is the value its NaT?), which takes half a second and 48 MB of every command that only reads.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mlplatform.errors import ConfigurationError, SchemaMismatch, StoreError

READER, WRITER = "_reader", "_writer"
"""The names by which the lake is attached for reading and for writing; no schema can have them."""
INCOMING = "incoming"
KEY = "partition_key"

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)
_FUNCTION = re.compile(r'"function_name":"([^"]*)"')
_LOOKING = frozenset(
    f"ducklake_{name}"
    for name in ("snapshots", "table_info", "list_files", "options", "settings", "table_changes")
)
Moments = tuple[datetime | None, datetime | None]
"""From and until, both included; None is no bound."""


@dataclass(frozen=True, order=True)
class Table:
    """Name of a table: one schema per use case, names of `[a-z][a-z0-9_]*`.

    Raises
    ------
    ConfigurationError
        if either part is not such a name.
    """

    schema: str
    name: str

    def __post_init__(self) -> None:
        for part in (self.schema, self.name):
            if not _NAME.fullmatch(part):
                raise ConfigurationError(
                    f"{part!r} is no table name; allowed are a-z, 0-9 and _, at most 63, a letter first.",
                    hint="Rename the use case or the asset.",
                )

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    def within(self, lake: str) -> str:
        """The full name in the lake attached as `lake`, quoted (a name may be a reserved word)."""
        return f'{lake}."{self.schema}"."{self.name}"'


def quoted(name: str) -> str:
    """Any column name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str | Path) -> str:
    """Any text as an SQL literal."""
    return "'" + str(value).replace("'", "''") + "'"


def moment(value: datetime) -> str:
    """A time with a zone, to the microsecond, as an SQL literal."""
    return f"TIMESTAMPTZ {text(value.isoformat())}"


def attach(lake: str, catalog: Path, data: Path) -> str:
    """Attach the lake as `lake`, for writing only as WRITER (docs/decisions/0002-lake.md tells why so)."""
    options = [f"DATA_PATH {text(f'{data}/')}", "OVERRIDE_DATA_PATH true", "META_BUSY_TIMEOUT 1000"]
    options += ["DATA_INLINING_ROW_LIMIT 0", "META_JOURNAL_MODE 'WAL'"] if lake == WRITER else ["READ_ONLY"]
    return f"ATTACH {text(f'ducklake:sqlite:{catalog}')} AS {lake} ({', '.join(options)})"


def tables_of(schema: str, lake: str) -> str:
    """Names of a schema's tables."""
    where = f"database_name = {text(lake)} AND schema_name = {text(schema)}"
    return f"SELECT table_name FROM duckdb_tables() WHERE {where}"


def columns_of(table: Table, lake: str) -> str:
    """Name and type of each stored column, in order; no row where the table does not exist."""
    where = f"database_name = {text(lake)} AND schema_name = {text(table.schema)}"
    return (
        f"SELECT column_name, data_type FROM duckdb_columns() WHERE {where}"
        f" AND table_name = {text(table.name)} ORDER BY column_index"
    )


def create(table: Table, columns: Mapping[str, str]) -> str:
    """Create a table with columns of the given DuckDB types."""
    body = ", ".join(f"{quoted(name)} {kind}" for name, kind in columns.items())
    return f"CREATE TABLE {table.within(WRITER)} ({body})"


def add_column(table: Table, name: str, kind: str) -> str:
    """Add a column; the rows already there have null in it."""
    return f"ALTER TABLE {table.within(WRITER)} ADD COLUMN {quoted(name)} {kind}"


def delete(table: Table, partitions: Sequence[str] | None) -> str:
    """Delete the named partitions, or with None every row."""
    return f"DELETE FROM {table.within(WRITER)}{_where(partitions=partitions)}"


def insert(table: Table) -> str:
    """Insert the incoming rows, matched by column name and never by position."""
    return f"INSERT INTO {table.within(WRITER)} BY NAME SELECT * FROM {INCOMING}"


def select(
    table: Table,
    columns: Sequence[str],
    *,
    first: str | None = None,
    last: str | None = None,
    partitions: Sequence[str] | None = None,
    moments: Mapping[str, Moments] | None = None,
) -> str:
    """Select columns of the partitions from `first` to `last` (both included) and among `partitions`, of them
    the rows with one of the `moments`."""
    where = _where(first=first, last=last, partitions=partitions)
    if moments is not None:
        where = f"{where} AND {_within(moments)}" if where else f" WHERE {_within(moments)}"
    return f"SELECT {', '.join(map(quoted, columns))} FROM {table.within(READER)}{where}"


def _within(moments: Mapping[str, Moments]) -> str:
    """Any of the columns within its bounds, both included; None is no bound."""
    terms = []
    for column, bounds in moments.items():
        limits = [
            f"{quoted(column)} {sign} {moment(bound)}"
            for sign, bound in zip((">=", "<="), bounds, strict=True)
            if bound is not None
        ]
        terms.append(f"({' AND '.join(limits or [f'{quoted(column)} IS NOT NULL'])})")
    return f"({' OR '.join(terms) or 'true'})"


def _where(
    *, first: str | None = None, last: str | None = None, partitions: Sequence[str] | None = None
) -> str:
    terms = []
    if partitions is not None:
        # Files are skipped by their minimum and maximum; the list alone would read them all.
        first = max(filter(None, (first, min(partitions, default=None))), default=None)
        last = min(filter(None, (last, max(partitions, default=None))), default=None)
        terms.append(f"{KEY} IN (SELECT unnest([{', '.join(map(text, partitions))}]::VARCHAR[]))")
    terms += [f"{KEY} >= {text(first)}"] if first is not None else []
    terms += [f"{KEY} <= {text(last)}"] if last is not None else []
    return f" WHERE {' AND '.join(terms)}" if terms else ""


def new_columns(
    table: Table, stored: Mapping[str, str], got: Mapping[str, str], *, evolve: bool
) -> dict[str, str]:
    """Columns to add before `got` can be inserted (none unless `evolve`); the order of columns is free.

    Raises
    ------
    SchemaMismatch
        naming each column that is missing, unexpected, or of another type.
    """
    extra = {name: kind for name, kind in got.items() if name not in stored}
    faults = [f"{name} is missing (allowed: {kind})" for name, kind in stored.items() if name not in got]
    faults += [
        f"{n} is {got[n]} (allowed: {kind})" for n, kind in stored.items() if n in got and got[n] != kind
    ]
    if not evolve:
        faults += [f"{name} is unexpected (got: {kind})" for name, kind in extra.items()]
    if faults:
        raise SchemaMismatch(
            f"{table} does not take these columns: {'; '.join(faults)}.",
            hint="Cast or rename them in the asset; new columns are added with evolve=True; "
            "a changed or removed column needs a new table, or drop() of this one.",
        )
    return extra


def check_select(parsed: str) -> None:
    """Raise StoreError unless `parsed`, the answer of DuckDB's json_serialize_sql, is one harmless SELECT.

    A read-only lake still lets DuckLake's housekeeping functions remove files, so these are refused by name.
    """
    tree = json.loads(parsed)
    if tree["error"]:
        raise StoreError(
            f"Got a query that is no SELECT: {tree['error_message']}",
            hint="Tables are written by assets only; correct the query, or ask with SELECT.",
        )
    if (count := len(tree["statements"])) != 1:
        raise StoreError(
            f"Got {count} statements; allowed is one SELECT.", hint="Ask one question at a time."
        )
    called = {name.lower() for name in _FUNCTION.findall(parsed)}
    if refused := sorted(n for n in called - _LOOKING if n == "query" or n.startswith("ducklake_")):
        raise StoreError(
            f"Got the function {', '.join(refused)}; allowed are {', '.join(sorted(_LOOKING))}.",
            hint="Housekeeping is done by Lake.maintain().",
        )
