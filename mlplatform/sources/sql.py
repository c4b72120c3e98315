"""A query to a database (SQLAlchemy), delivered as JSON lines: a row a line, in the order of the query."""

import os
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from mlplatform.errors import ConfigurationError, SourceAway, SourceError
from mlplatform.sources._contract import WHOLE, Delivery, Part, Source

CHUNK = 5_000


def open(folder: Path, *, query: str, url: str = "", url_env: str = "") -> Source:
    """The rows that `query` gives.

    Parameters
    ----------
    query
        one SELECT; `:partition` is the day, a bound parameter. Order it: the same rows in another order are
        another delivery.
    url
        SQLAlchemy URL of the database; a relative SQLite file is relative to the folder of the use case.
    url_env
        name of an environment variable that holds the URL instead, for those with a password.

    Raises
    ------
    ConfigurationError
        if the URL is missing or malformed, or its driver is not installed.
    """
    if bool(url) == bool(url_env):
        raise ConfigurationError(
            f"source 'sql' got url {url!r} and url_env {url_env!r}; allowed: one of them.",
            hint="Set options.url, or options.url_env to the name of an environment variable.",
        )
    return _Query(folder, query, url, url_env)


@dataclass(frozen=True)
class _Query:
    folder: Path
    query: str
    url: str = field(repr=False)
    url_env: str

    def deliveries(self, partitions: Sequence[str] | None) -> Iterator[Delivery]:
        if partitions is not None and "partition" not in sqlalchemy.text(self.query)._bindparams:
            raise ConfigurationError(
                "source 'sql' is asked for days, but its query has no :partition; allowed: a query with it.",
                hint="Write for example WHERE day = :partition, or set daily: false.",
            )
        engine = self._engine()
        shown = engine.url.set(query={}).render_as_string(hide_password=True)
        try:
            with tempfile.TemporaryDirectory(prefix="mlplatform-query-") as spool:
                for partition in [WHOLE] if partitions is None else partitions:
                    file = Path(spool) / "delivery.jsonl"
                    self._save(engine, partition, file, shown)
                    yield Delivery(partition, (Part(f"{shown}#{partition}", "jsonl", file),))
        finally:
            engine.dispose()

    def _engine(self) -> sqlalchemy.Engine:
        url = self.url or os.environ.get(self.url_env, "")
        try:
            parsed = sqlalchemy.make_url(url)
            local = parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:")
            if local:
                parsed = parsed.set(database=str(self.folder / str(parsed.database)))
            engine = sqlalchemy.create_engine(parsed)
        except (ValueError, ArgumentError, ModuleNotFoundError, NoSuchModuleError) as error:
            place = f"the variable {self.url_env}" if self.url_env else "options.url"
            raise ConfigurationError(
                f"{place} is no usable SQLAlchemy URL: {type(error).__name__}.",
                hint="Write for example postgresql+psycopg://user@host/database, and install its driver.",
            ) from None  # its message may have the password
        if local and not Path(str(parsed.database)).is_file():  # SQLite would make an empty one
            raise SourceError(f"there is no file {parsed.database}.", hint="Check the URL of the database.")
        return engine

    def _save(self, engine: sqlalchemy.Engine, partition: str, file: Path, shown: str) -> None:
        statement = sqlalchemy.text(self.query)
        values = {"partition": partition} if "partition" in statement._bindparams else {}
        connected = False
        try:
            with engine.connect() as connection, file.open("wb") as out:
                connected = True
                streaming = connection.execution_options(stream_results=True, yield_per=CHUNK)
                result = streaming.execute(statement, values)
                names = list(result.keys())
                if twice := sorted({name for name in names if names.count(name) > 1}):
                    raise SourceError(
                        f"the query gives {', '.join(twice)} more than once.", hint="Name each with AS."
                    )
                for row in result:
                    line = msgspec.json.encode(dict(zip(names, row, strict=True)), enc_hook=_plain)
                    out.write(line + b"\n")
        except SQLAlchemyError as error:
            said = (str(getattr(error, "orig", "")).splitlines() or [type(error).__name__])[0]
            if not connected or _passes(error):
                raise SourceAway(
                    f"{shown} does not answer: {said}.", hint="Run again; see that the database is up."
                ) from error
            raise SourceError(
                f"the query to {shown} failed: {said}.", hint="Try options.query in the database itself."
            ) from error


def _passes(error: SQLAlchemyError) -> bool:
    """Whether the same query may work later: the connection was lost, or somebody else holds a lock.

    Drivers say which by the code of SQLSTATE (classes of PostgreSQL's manual, appendix A) or of SQLite.
    """
    if not isinstance(error, DBAPIError):
        return False
    state = str(getattr(error.orig, "sqlstate", None) or "")
    busy = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return error.connection_invalidated or busy or state[:2] in ("08", "40", "53", "55", "57")


def _plain(value: Any) -> Any:
    """Types of databases that JSON has not; msgspec writes times, dates and decimals itself."""
    if isinstance(value, datetime | date | Decimal):
        return str(value)
    raise SourceError(
        f"the query gives a value of type {type(value).__name__}, which JSON has not.",
        hint="Cast it to text or a number in options.query.",
    )
