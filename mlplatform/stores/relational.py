"""Small relational state through SQLAlchemy, on SQLite or PostgreSQL: engines, tables, times, errors.

It must not know what is kept; `champions.py` and its neighbours do.
"""

import random
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.schema import CreateTable

from mlplatform.errors import ConfigurationError, StoreError

T = TypeVar("T")

BUSY_SECONDS = 30
"""How long a SQLite connection waits for another process's write."""
ATTEMPTS = 50
"""How often a row is numbered anew after another process took its number."""
_SETTING = "MLPLATFORM_STATE_URL"


class UtcDateTime(sa.TypeDecorator[datetime]):
    """A moment with its zone: stored as UTC, and read back as UTC also where the database keeps no zone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """To UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """From the database's time (UTC without saying so, or the session's zone) to UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Database:
    """A database at a SQLAlchemy URL; `what` it holds is named in errors.

    Raises
    ------
    ConfigurationError
        if the URL is none, or no driver for it is installed.
    """

    def __init__(self, url: str, what: str) -> None:
        self.what = what
        self.engine = _engine(url, what)

    def run(self, work: Callable[[], T]) -> T:
        """Do the work; StoreError if the database fails in it."""
        try:
            return work()
        except SQLAlchemyError as error:
            raise StoreError(
                f"the {self.what} at {self.engine.url.render_as_string(hide_password=True)} failed: "
                f"{_cause(error)}.",
                hint=f"Check that {_SETTING} is right and its database is up and may be written.",
            ) from error

    def numbered(self, work: Callable[[], T], who: str) -> T:
        """Do work that inserts a row under the next number, again while other processes take it first."""
        for _ in range(ATTEMPTS):
            try:
                return work()
            except IntegrityError:
                time.sleep(random.uniform(0.0, 0.02))
        raise StoreError(
            f"could not write to the {self.what} for {who}: other processes took {ATTEMPTS} numbers in a "
            "row.",
            hint="Something writes in a loop; stop it and try again.",
        )

    def create(self, tables: Sequence[sa.Table], *, append_only: bool = False) -> list[str]:
        """Create the tables that are not there, and what keeps them append-only; names of the new ones."""
        return self.run(lambda: self._create(tables, append_only))

    def close(self) -> None:
        """Give the connections back; the database can still be used and will open new ones."""
        self.engine.dispose()

    def _create(self, tables: Sequence[sa.Table], append_only: bool) -> list[str]:
        postgresql = self.engine.dialect.name == "postgresql"
        with self.engine.begin() as connection:
            # Looking before asking lets a role open the state that may not create tables.
            missing = [table for table in tables if not sa.inspect(connection).has_table(table.name)]
            if missing and postgresql:
                # Two processes that CREATE TABLE IF NOT EXISTS at once collide in PostgreSQL's catalogue.
                key = sa.func.hashtext(missing[0].name)
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))
                missing = [table for table in missing if not sa.inspect(connection).has_table(table.name)]
            for table in tables:
                if table not in missing:
                    _add_columns(connection, table)
            for table in missing:
                connection.execute(CreateTable(table, if_not_exists=True))
                if append_only:
                    for statement in _append_only(table.name, self.engine.dialect.name):
                        connection.exec_driver_sql(statement)
        return [table.name for table in missing]


class StateStore(ABC):
    """A store in the small relational state; opening it makes what is not there yet (and SQLite's folder).

    Parameters
    ----------
    url : SQLAlchemy URL.

    Raises
    ------
    ConfigurationError
        if the URL is none, or no driver for it is installed.
    StoreError
        if the database cannot be reached; so does every method.
    """

    what: ClassVar[str]
    """What it holds, as errors name it."""

    def __init__(self, url: str) -> None:
        self._database = Database(url, self.what)
        self._make()

    @abstractmethod
    def _make(self) -> None:
        """Make the tables that are not there yet."""

    def close(self) -> None:
        """Give the connections back; the store can still be used and will open new ones."""
        self._database.close()


def _add_columns(connection: sa.Connection, table: sa.Table) -> None:
    """Columns that a later version added; they have to allow NULL."""
    there = {column["name"] for column in sa.inspect(connection).get_columns(table.name)}
    for column in table.columns:
        if column.name not in there:
            kind = column.type.compile(connection.dialect)
            connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {kind}")


def _append_only(table: str, dialect: str) -> list[str]:
    if dialect == "postgresql":
        return [
            f"CREATE OR REPLACE FUNCTION {table}_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{table} is append-only'; END $$",
            f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_append_only()",
        ]
    if dialect == "sqlite":
        return [
            f"CREATE TRIGGER IF NOT EXISTS {table}_no_{verb} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            for verb in ("UPDATE", "DELETE")
        ]
    return []


def _engine(url: str, what: str) -> sa.Engine:
    try:
        parsed = sa.make_url(url)
        sqlite = parsed.get_backend_name() == "sqlite"
        arguments: dict[str, Any] = {"timeout": BUSY_SECONDS} if sqlite else {}
        engine = sa.create_engine(parsed, pool_pre_ping=True, connect_args=arguments)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise ConfigurationError(
            f"cannot use the given URL for the {what}: {error}",
            hint=f"Give {_SETTING} as sqlite:///path/to/state.sqlite or "
            "postgresql+psycopg://user@host/database, and install the database's driver.",
        ) from error
    if sqlite:
        _prepare_sqlite(engine, parsed)
    return engine


def _prepare_sqlite(engine: sa.Engine, url: sa.URL) -> None:
    """Make the folder, and have every connection write ahead and wait for the disk before it says done."""
    if url.database and url.database != ":memory:":
        try:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"cannot make the folder of {url.database}: {error}.",
                hint=f"Point MLPLATFORM_HOME (or {_SETTING}) at a folder that may be written.",
            ) from error

    @sa.event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _record: object) -> None:
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous=FULL")


def _write_ahead(connection: Any) -> None:
    """Switch a new file to write-ahead; SQLite refuses some who do so at once, without making them wait."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or attempt == ATTEMPTS:
                raise
            time.sleep(0.01 * attempt)
        else:
            return


def _cause(error: SQLAlchemyError) -> str:
    text = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    return text.strip().splitlines()[0].rstrip(".") if text.strip() else type(error).__name__
