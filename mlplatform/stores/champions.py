"""Champion history: an append-only table of releases, through SQLAlchemy on SQLite or PostgreSQL.

It must not choose a champion and must not hold a model: a release names its candidate by digest. The champion
is the release with the highest version; nothing is ever changed or deleted.
"""

import math
import random
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.schema import CreateTable

from mlplatform.errors import ConfigurationError, StoreError
from mlplatform.stages.deployment.release import Promotion, Release, number

T = TypeVar("T")

BUSY_SECONDS = 30
"""How long a SQLite connection waits for another process's write."""
ATTEMPTS = 50
"""How often a promotion is tried again after another process took its version."""


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


TABLE = sa.Table(
    "champion_history",
    sa.MetaData(),
    sa.Column("use_case", sa.String(200), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.String(200), nullable=False),
    sa.Column("model", sa.String(200), nullable=False),
    sa.Column("feature_set_id", sa.String(200), nullable=False),
    sa.Column("figures", sa.JSON, nullable=False),
    sa.Column("as_of", sa.String(10), nullable=False),
    sa.Column("released_at", UtcDateTime, nullable=False),
    sa.Column("released_by", sa.String(200), nullable=False),
    sa.Column("why", sa.Text, nullable=False),
)
SQLITE_APPEND_ONLY = tuple(
    f"CREATE TRIGGER IF NOT EXISTS champion_history_no_{verb} BEFORE {verb} ON champion_history "
    "BEGIN SELECT RAISE(ABORT, 'champion_history is append-only'); END"
    for verb in ("UPDATE", "DELETE")
)
POSTGRESQL_APPEND_ONLY = (
    "CREATE OR REPLACE FUNCTION champion_history_append_only() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'champion_history is append-only'; END $$",
    "CREATE TRIGGER champion_history_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON champion_history "
    "FOR EACH STATEMENT EXECUTE FUNCTION champion_history_append_only()",
)


class ChampionStore:
    """The champion history at a SQLAlchemy URL; opening it creates the table (and SQLite's folder).

    Raises
    ------
    ConfigurationError
        if the URL is none, or no driver for it is installed.
    StoreError
        if the database cannot be reached.
    """

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        self._run(lambda: _create(self._engine))

    def promote(self, promotion: Promotion) -> Release:
        """Make a model the champion; safe against other processes that promote at the same time.

        Returns
        -------
        Release
            the new release, or the present one, unchanged, if its digest is the champion already.

        Raises
        ------
        StoreError
            if the promotion cannot be stored as it is, or the database cannot be reached.
        """
        _check(promotion)
        return self._run(lambda: self._append(promotion))

    def champion(self, use_case: str) -> Release | None:
        """The present champion of the use case, or None if nothing was released yet."""
        newest = (
            sa.select(TABLE).where(TABLE.c.use_case == use_case).order_by(TABLE.c.version.desc()).limit(1)
        )
        found = self._run(lambda: self._read(newest))
        return found[0] if found else None

    def history(self, use_case: str) -> tuple[Release, ...]:
        """Every release of the use case, version 1 first."""
        query = sa.select(TABLE).where(TABLE.c.use_case == use_case).order_by(TABLE.c.version)
        return self._run(lambda: self._read(query))

    def close(self) -> None:
        """Give the connections back; the store can still be used and will open new ones."""
        self._engine.dispose()

    def _append(self, promotion: Promotion) -> Release:
        """Insert under the next version; the primary key lets one process have it, the others look again."""
        for _ in range(ATTEMPTS):
            present = self.champion(promotion.use_case)
            if present is not None and present.digest == promotion.digest:
                return present
            release = number(promotion, present.version + 1 if present else 1)
            try:
                with self._engine.begin() as connection:
                    connection.execute(sa.insert(TABLE).values(**msgspec.structs.asdict(release)))
            except IntegrityError:
                time.sleep(random.uniform(0.0, 0.02))
                continue
            return release
        raise StoreError(
            f"could not promote {promotion.digest} for {promotion.use_case!r}: other processes took "
            f"{ATTEMPTS} versions in a row.",
            hint="Something promotes in a loop; stop it and promote again.",
        )

    def _read(self, query: sa.Select[Any]) -> tuple[Release, ...]:
        with self._engine.connect() as connection:
            return tuple(Release(**row) for row in connection.execute(query).mappings())

    def _run(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except SQLAlchemyError as error:
            raise StoreError(
                f"the champion history at {_shown(self._engine.url)} failed: {_cause(error)}.",
                hint="Check that MLPLATFORM_STATE_URL is right and its database is up and may be written.",
            ) from error


def _engine(url: str) -> sa.Engine:
    try:
        parsed = sa.make_url(url)
        engine = sa.create_engine(parsed, pool_pre_ping=True, connect_args=_connect_args(parsed))
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise ConfigurationError(
            f"cannot use the given URL for the champion history: {error}",
            hint="Give MLPLATFORM_STATE_URL as sqlite:///path/to/state.sqlite or "
            "postgresql+psycopg://user@host/database, and install the database's driver.",
        ) from error
    if parsed.get_backend_name() == "sqlite":
        _prepare_sqlite(engine, parsed)
    return engine


def _connect_args(url: sa.URL) -> dict[str, Any]:
    return {"timeout": BUSY_SECONDS} if url.get_backend_name() == "sqlite" else {}


def _prepare_sqlite(engine: sa.Engine, url: sa.URL) -> None:
    """Make the folder, and have every connection write ahead and wait for the disk before it says done."""
    if url.database and url.database != ":memory:":
        try:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"cannot make the folder of {url.database}: {error}.",
                hint="Point MLPLATFORM_STATE_URL at a folder that may be written.",
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


def _create(engine: sa.Engine) -> None:
    """Create the table, and the triggers that keep it append-only, unless they are there."""
    if engine.dialect.name == "postgresql":
        _create_postgresql(engine)
        return
    with engine.begin() as connection:
        connection.execute(CreateTable(TABLE, if_not_exists=True))
        if engine.dialect.name == "sqlite":
            for statement in SQLITE_APPEND_ONLY:
                connection.exec_driver_sql(statement)


def _create_postgresql(engine: sa.Engine) -> None:
    # Two processes that CREATE TABLE IF NOT EXISTS at once collide in PostgreSQL's catalogue: hence the lock.
    # Looking before asking lets a role open the history that may not create tables.
    with engine.begin() as connection:
        if sa.inspect(connection).has_table(TABLE.name):
            return
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(TABLE.name))))
        if sa.inspect(connection).has_table(TABLE.name):
            return
        connection.execute(CreateTable(TABLE))
        for statement in POSTGRESQL_APPEND_ONLY:
            connection.exec_driver_sql(statement)


def _check(promotion: Promotion) -> None:
    wrong = [name for name in ("use_case", "digest", "model", "as_of") if not getattr(promotion, name)]
    if wrong:
        raise StoreError(
            f"got a promotion with an empty {wrong[0]}.", hint="Fill it in; it is part of the history."
        )
    if promotion.released_at.tzinfo is None:
        raise StoreError(
            f"got released_at {promotion.released_at.isoformat()} without a time zone; UTC is wanted.",
            hint="Use datetime.now(UTC), or the clock that is injected.",
        )
    for name, value in promotion.figures.items():
        if not math.isfinite(value):
            raise StoreError(
                f"got the figure {name} = {value}; a figure is a finite number.",
                hint="Release a model with the figures it was chosen by.",
            )


def _shown(url: sa.URL) -> str:
    return url.render_as_string(hide_password=True)


def _cause(error: SQLAlchemyError) -> str:
    text = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    return text.strip().splitlines()[0].rstrip(".") if text.strip() else type(error).__name__
