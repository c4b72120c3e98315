"""The lake: every table of every use case, as DuckLake (Parquet files, a SQLite catalogue) on DuckDB.

A write replaces partitions, or a whole table, in one transaction: readers, and a process killed at any
moment, see the old rows or the new rows. It must not know Dagster, assets or what a table means, and Python's
`sqlite3` must never open the catalogue file: two SQLite libraries in one process undo each other's locks.

One Lake may be used by many threads: reads run side by side, each on a cursor of its own; writes wait for one
another on a lock, which other processes of this machine share through a lock file beside the catalogue.
"""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa

from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import NotFound, StoreError
from mlplatform.stores import lake_sql
from mlplatform.stores.lake_connection import (
    Connect,
    Cursor,
    Session,
    attempts,
    errors_of,
    in_memory,
    is_collision,
    locked,
    opened,
    sync_path,
)
from mlplatform.stores.lake_rows import check_columns, check_rows, in_order, plain
from mlplatform.stores.lake_sql import INCOMING, KEY, READER, WRITER, Moments, Table

__all__ = ["KEY", "Connect", "Lake", "Moments", "Table", "Write", "in_memory", "sync_path"]

_ASK = "Tables are named schema.table; `SHOW ALL TABLES` lists them."


@dataclass(frozen=True)
class Write:
    """Rows that take the place of `partitions` (None: of every row) of a table; see `Lake.write`."""

    table: Table
    frame: pl.DataFrame
    partitions: Sequence[str] | None = None
    evolve: bool = False
    allow_empty: bool = False


class Lake:
    """Tables by name; a partition is the rows with one value of the String column `partition_key`.

    Parameters
    ----------
    catalog, data
        the catalogue's SQLite file and the folder of the Parquet files; both are made at the first write.
    connect
        opens the DuckDB connection the lake is attached to.
    sync
        makes a new file or a changed folder durable; called for each of them before the commit.
    patience
        seconds to wait for other writers before giving up.
    """

    def __init__(
        self,
        catalog: Path,
        data: Path,
        connect: Connect = in_memory,
        *,
        sync: Callable[[Path], None] = sync_path,
        patience: float = 60.0,
    ) -> None:
        self._catalog, self._data = Path(catalog).absolute(), Path(data).absolute()
        self._connect, self._sync, self._patience = connect, sync, patience
        self._session = Session(connect)
        self._writing = threading.Lock()

    @classmethod
    def from_settings(cls, settings: Settings) -> "Lake":
        """The lake of a deployment."""
        return cls(settings.lake_catalog, settings.lake_data)

    def close(self) -> None:
        """Close the connections; the next use opens them again."""
        self._session.close()

    # writing

    def write(
        self,
        table: Table,
        frame: pl.DataFrame,
        partitions: Sequence[str] | None = None,
        *,
        evolve: bool = False,
        allow_empty: bool = False,
    ) -> int:
        """Replace `partitions` (None: every row) by `frame`, in one transaction; returns the number of rows.

        `frame` carries `partition_key` (String) when partitions are given. The first write creates the table.
        Columns are matched by name; `evolve` adds new ones. The same write done twice leaves the same table.

        Raises
        ------
        SchemaMismatch
            if columns or types differ from the stored ones.
        RowsRefused
            if a row is outside `partitions`; if a partition has no row, unless `allow_empty`.
        StoreError
            if other writers hold the lake for longer than `patience`; if the disk refuses. The old rows are
            intact.
        """
        self.write_all([Write(table, frame, partitions, evolve, allow_empty)])
        return frame.height

    def write_all(self, writes: Sequence[Write]) -> None:
        """Do several writes in one transaction, all or none.

        Raises
        ------
        SchemaMismatch, RowsRefused, StoreError
            as `write`; then none of them was done.
        """
        prepared = []
        for each in writes:
            keys = None if each.partitions is None else sorted(set(each.partitions))
            check_rows(each.table, each.frame, keys, allow_empty=each.allow_empty)
            rows = plain(each.frame if keys is None else in_order(each.frame)).to_arrow()
            prepared.append((each, keys, rows))

        def replace(cursor: Cursor) -> None:
            for each, keys, rows in prepared:
                cursor.register(INCOMING, rows)
                self._shape(cursor, each.table, evolve=each.evolve)
                cursor.execute(lake_sql.delete(each.table, keys))
                cursor.execute(lake_sql.insert(each.table))

        filled = [each.table for each in writes if each.frame.height]
        folders = {table: self._data / table.schema / table.name for table in filled}
        what = ", ".join(dict.fromkeys(str(each.table) for each in writes))
        self._commit(replace, what, folders.values())

    def drop(self, table: Table) -> None:
        """Remove a table, if there is one."""
        if self.exists(table):
            self._commit(lambda cursor: cursor.execute(f"DROP TABLE {table.within(WRITER)}"), table)

    def maintain(self, keep: timedelta = timedelta(days=7)) -> None:
        """Merge small files, then forget replaced rows and left-over files that are older than `keep`.

        `keep` must be longer than any read or write takes: files of a running one would be removed.
        """
        if not self._catalog.exists():
            return
        self._commit(_merge, "the lake")
        with errors_of("the lake"), self._alone(), closing(self._cursor(WRITER)) as cursor:
            before = f"now() - INTERVAL {max(0, round(keep.total_seconds()))} SECOND"
            for step in ("expire_snapshots", "cleanup_old_files", "delete_orphaned_files"):
                cursor.execute(f"CALL ducklake_{step}('{WRITER}', older_than => {before})")

    def _shape(self, cursor: Cursor, table: Table, *, evolve: bool) -> None:
        got = {name: kind for name, kind, *_ in cursor.execute(f"DESCRIBE {INCOMING}").fetchall()}
        stored = _columns(cursor, table, WRITER)
        added = lake_sql.new_columns(table, stored, got, evolve=evolve or not stored)
        if stored:
            for name, kind in added.items():
                cursor.execute(lake_sql.add_column(table, name, kind))
        else:
            cursor.execute(f'CREATE SCHEMA IF NOT EXISTS {WRITER}."{table.schema}"')
            cursor.execute(lake_sql.create(table, got))

    def _commit(
        self, change: Callable[[Cursor], object], what: object, filled: Collection[Path] = ()
    ) -> None:
        """Commit a change; `filled` are the folders of the tables that it puts rows into."""
        with errors_of(what), self._alone():
            for _ in attempts(self._patience, what):
                try:
                    self._transaction(change, filled)
                    return
                except BaseException as error:
                    # A commit that failed on a lock leaves its SQLite transaction open in the connection.
                    self._session.detach(WRITER)
                    if not (isinstance(error, duckdb.Error) and is_collision(error)):
                        raise

    def _transaction(self, change: Callable[[Cursor], object], filled: Collection[Path]) -> None:
        watched = filled or [self._data]
        with closing(self._cursor(WRITER)) as cursor:
            before = {folder: _files(folder) for folder in watched}
            cursor.execute("BEGIN")
            change(cursor)
            added = {folder: _files(folder) - before[folder] for folder in watched}
            for folder in filled:
                if not added[folder]:
                    raise StoreError(
                        f"No new file below {folder} to make durable before the commit.",
                        hint="The catalogue belongs to another data folder; set both paths of one lake.",
                    )
            new = set().union(*added.values())
            folders = {parent for path in new for parent in path.parents if parent.is_relative_to(self._data)}
            for path in [*sorted(new), *sorted(folders)]:
                self._sync(path)
            cursor.execute("COMMIT")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        # Two first writes of one partition conflict in no row, so DuckLake would accept both and double it.
        first = not self._catalog.exists()
        for folder in (self._catalog.parent, self._data):
            folder.mkdir(parents=True, exist_ok=True)
        with self._writing, locked(self._catalog.with_name(f"{self._catalog.name}.lock"), self._patience):
            yield
        if first:
            for path in {self._catalog.parent, self._catalog.parent.parent, self._data.parent}:
                self._sync(path)

    # reading

    def read(
        self,
        table: Table,
        *,
        columns: Sequence[str] | None = None,
        first: str | None = None,
        last: str | None = None,
        partitions: Sequence[str] | None = None,
        moments: Mapping[str, Moments] | None = None,
    ) -> pl.DataFrame:
        """Rows of the partitions from `first` to `last` (both included) and among `partitions` (None: all).

        `moments` leaves those in which any of these time columns is within its bounds (both included).

        A partitioned table comes in the order of `partition_key`, each partition in the order it was written;
        another table in no promised order. Times with a zone come as Datetime("us", "UTC").

        Raises
        ------
        NotFound
            if the lake, the table or a column does not exist.
        """
        with self._reading(table) as cursor:
            stored = _columns(cursor, table, READER)
            wanted = list(stored if columns is None else columns)
            limited = any(limit is not None for limit in (first, last, partitions))
            check_columns(table, stored, [*wanted, *(moments or ()), *([KEY] if limited else [])])
            asked = [*wanted, KEY] if KEY in stored and KEY not in wanted else wanted
            statement = lake_sql.select(
                table, asked, first=first, last=last, partitions=partitions, moments=moments
            )
            frame = _frame(cursor.execute(statement))
        return (in_order(frame) if KEY in asked else frame).select(wanted)

    def exists(self, table: Table) -> bool:
        """Whether the table was ever written."""
        return table.name in self.tables(table.schema)

    def tables(self, schema: str) -> list[str]:
        """Names of one schema's tables, sorted; none where there is no lake yet."""
        try:
            with self._reading(schema) as cursor:
                found = cursor.execute(lake_sql.tables_of(schema, READER)).fetchall()
                return sorted(name for (name,) in found)
        except NotFound:
            return []

    def partitions(self, table: Table) -> list[str]:
        """Keys of the partitions that have rows, sorted; none where there is no table or no partitions."""
        if not self.exists(table):
            return []
        with self._reading(table) as cursor:
            if KEY not in _columns(cursor, table, READER):
                return []
            found = cursor.execute(f"SELECT DISTINCT {KEY} FROM {table.within(READER)} ORDER BY 1").fetchall()
        return [key for (key,) in found]

    def row_count(self, table: Table) -> int:
        """Number of rows; 0 where the table does not exist."""
        if not self.exists(table):
            return 0
        with self._reading(table) as cursor:
            found = cursor.execute(f"SELECT count(*) FROM {table.within(READER)}").fetchall()
        return int(found[0][0])

    def sql(self, query: str, parameters: Sequence[object] = ()) -> pl.DataFrame:
        """Answer one SELECT over the lake's tables, named `schema.table`; `?` takes the parameters in turn.

        The connection is its own, read-only, and sees no file outside the lake's data folder. DESCRIBE,
        SUMMARIZE and SHOW are SELECTs too; `ducklake_snapshots('lake')` tells the history of the lake.

        Raises
        ------
        NotFound
            if there is no lake yet.
        StoreError
            if the query is not one SELECT, or DuckDB refuses it.
        """
        with ExitStack() as stack:
            stack.enter_context(errors_of("the query", _ASK))
            cursor = stack.enter_context(opened(self._connect))
            with self._existing():
                cursor.execute(lake_sql.attach("lake", self._catalog, self._data))
            cursor.execute(f"SET allowed_directories = [{lake_sql.text(f'{self._data}/')}]")
            for setting in ("enable_external_access = false", "lock_configuration = true"):
                cursor.execute(f"SET {setting}")
            parsed = cursor.execute(f"SELECT json_serialize_sql({lake_sql.text(query)})").fetchall()
            lake_sql.check_select(parsed[0][0])
            cursor.execute("USE lake")
            return _frame(cursor.execute(query, list(parameters)))

    @contextmanager
    def _reading(self, what: object) -> Iterator[Cursor]:
        with errors_of(what, _ASK), closing(self._cursor(READER)) as cursor:
            yield cursor

    def _cursor(self, name: str) -> Cursor:
        attach = lake_sql.attach(name, self._catalog, self._data)
        if name == WRITER:
            return self._session.cursor(name, attach)
        with self._existing():
            return self._session.cursor(name, attach)

    @contextmanager
    def _existing(self) -> Iterator[None]:
        missing = NotFound(f"There is no lake at {self._catalog}.", hint="Run `mlplatform run` first.")
        if not self._catalog.exists():
            raise missing
        try:
            yield
        except duckdb.InvalidInputException as error:
            # A process killed while it made the lake leaves an empty file; the next write completes it.
            if "does not exist - and" in str(error):
                raise missing from error
            raise


def _merge(cursor: Cursor) -> None:
    for step in ("rewrite_data_files", "merge_adjacent_files"):
        cursor.execute(f"CALL ducklake_{step}('{WRITER}')")


def _columns(cursor: Cursor, table: Table, lake: str) -> dict[str, str]:
    return dict(cursor.execute(lake_sql.columns_of(table, lake)).fetchall())


def _frame(result: Cursor) -> pl.DataFrame:
    rows: pa.Table = result.to_arrow_table()
    try:
        return pl.DataFrame(rows)
    except pl.exceptions.PolarsError as error:
        kinds = ", ".join(f"{field.name} {field.type}" for field in rows.schema)
        raise StoreError(
            f"the result has a type that frames do not have ({kinds}).",
            hint="Cast it in the query, an interval for example with CAST(… AS VARCHAR) or epoch(…).",
        ) from error


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()} if folder.exists() else set()
