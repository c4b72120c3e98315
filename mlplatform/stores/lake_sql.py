"""Names, statements and schema comparison of the lake.

It must not open a connection or a file: text and values in, text and values out. Values are always bound
parameters; only checked or quoted identifiers are put into a statement.
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
Statement = tuple[str, list[object]]
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
    """Any text as an SQL literal, for the few statements that take no bound parameters."""
    return "'" + str(value).replace("'", "''") + "'"


def attach(lake: str, catalog: Path, data: Path) -> str:
    """Attach the lake as `lake`, for writing only as WRITER (docs/decisions/0002-lake.md tells why so)."""
    options = [f"DATA_PATH {text(f'{data}/')}", "OVERRIDE_DATA_PATH true", "META_BUSY_TIMEOUT 1000"]
    options += ["DATA_INLINING_ROW_LIMIT 0", "META_JOURNAL_MODE 'WAL'"] if lake == WRITER else ["READ_ONLY"]
    return f"ATTACH {text(f'ducklake:sqlite:{catalog}')} AS {lake} ({', '.join(options)})"


def columns_of(table: Table, lake: str) -> Statement:
    """Name and type of each stored column, in order; no row where the table does not exist."""
    return (
        "SELECT column_name, data_type FROM duckdb_columns()"
        " WHERE database_name = ? AND schema_name = ? AND table_name = ? ORDER BY column_index",
        [lake, table.schema, table.name],
    )


def create(table: Table, columns: Mapping[str, str]) -> str:
    """Create a table with columns of the given DuckDB types."""
    body = ", ".join(f"{quoted(name)} {kind}" for name, kind in columns.items())
    return f"CREATE TABLE {table.within(WRITER)} ({body})"


def add_column(table: Table, name: str, kind: str) -> str:
    """Add a column; the rows already there have null in it."""
    return f"ALTER TABLE {table.within(WRITER)} ADD COLUMN {quoted(name)} {kind}"


def delete(table: Table, partitions: Sequence[str] | None) -> Statement:
    """Delete the named partitions, or with None every row."""
    where, values = _where(partitions=partitions)
    return f"DELETE FROM {table.within(WRITER)}{where}", values


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
) -> Statement:
    """Select columns of the partitions from `first` to `last` (both included) and among `partitions`, of them
    the rows with one of the `moments`."""
    where, values = _where(first=first, last=last, partitions=partitions)
    if moments is not None:
        within, bounds = _within(moments)
        where, values = f"{where} AND {within}" if where else f" WHERE {within}", [*values, *bounds]
    return f"SELECT {', '.join(map(quoted, columns))} FROM {table.within(READER)}{where}", values


def _within(moments: Mapping[str, Moments]) -> Statement:
    """Any of the columns within its bounds, both included; None is no bound."""
    terms, values = [], []
    for column, bounds in moments.items():
        limits = [
            (sign, bound) for sign, bound in zip((">=", "<="), bounds, strict=True) if bound is not None
        ]
        asked = [f"{quoted(column)} {sign} ?" for sign, _ in limits] or [f"{quoted(column)} IS NOT NULL"]
        terms.append(f"({' AND '.join(asked)})")
        values += [bound for _, bound in limits]
    return f"({' OR '.join(terms) or 'true'})", list(values)


def _where(
    *, first: str | None = None, last: str | None = None, partitions: Sequence[str] | None = None
) -> Statement:
    terms: list[tuple[str, object]] = []
    if partitions is not None:
        # Files are skipped by their minimum and maximum; the list alone would read them all.
        first = max(filter(None, (first, min(partitions, default=None))), default=None)
        last = min(filter(None, (last, max(partitions, default=None))), default=None)
        terms.append((f"{KEY} IN (SELECT unnest(?::VARCHAR[]))", list(partitions)))
    terms += [(f"{KEY} >= ?", first)] if first is not None else []
    terms += [(f"{KEY} <= ?", last)] if last is not None else []
    where = " AND ".join(term for term, _ in terms)
    return (f" WHERE {where}" if where else ""), [value for _, value in terms]


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
