"""How the lake is reached: connections, signed extensions, the lock between writers, waiting, durability.

It must not know tables or rows.
"""

import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from importlib.resources import files
from pathlib import Path

import duckdb

from mlplatform.errors import ConfigurationError, StoreError

Cursor = duckdb.DuckDBPyConnection
Connect = Callable[[], AbstractContextManager[Cursor]]

_COLLISIONS = ("database is locked", "conflict", "unique constraint", "concurrent", "maximum retry count")


def in_memory() -> AbstractContextManager[Cursor]:
    """A DuckDB connection that holds nothing of its own; the lake is attached to it."""
    return duckdb.connect(":memory:")


def sync_path(path: Path) -> None:
    """Force a file's bytes, or a folder's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def opened(connect: Connect) -> Iterator[Cursor]:
    """A connection with the extensions loaded, on which times with a zone are UTC."""
    with connect() as connection:
        load_extensions(connection)
        connection.execute("SET GLOBAL TimeZone = 'UTC'")
        yield connection


class Session:
    """One open connection, handed out as cursors: loading the extensions takes longer than most queries."""

    def __init__(self, connect: Connect) -> None:
        self._connect, self._lock, self._stack = connect, threading.Lock(), ExitStack()
        self._connection: Cursor | None = None
        self._attached: set[str] = set()

    def cursor(self, name: str, attach: str) -> Cursor:
        """A cursor on which the lake is attached by that name, with the statement `attach` if it was not."""
        with self._lock:
            if self._connection is None:
                self._connection = self._stack.enter_context(opened(self._connect))
            if name not in self._attached:
                self._connection.execute(attach)
                self._attached.add(name)
            return self._connection.cursor()

    def detach(self, name: str) -> None:
        """Forget what is attached by that name; the next cursor attaches it again."""
        with self._lock:
            if self._connection is not None and name in self._attached:
                self._attached.remove(name)
                self._connection.execute(f"DETACH {name}")

    def close(self) -> None:
        """Close the connection and its cursors; the next cursor opens another."""
        with self._lock:
            self._connection = None
            self._attached.clear()
            self._stack.close()


def load_extensions(connection: Cursor) -> None:
    """Load the signed binaries out of their wheels; nothing is fetched and signatures stay checked.

    Raises
    ------
    ConfigurationError
        if a wheel is not installed, or belongs to another release of DuckDB.
    """
    for setting in ("autoinstall_known_extensions", "autoload_known_extensions"):
        connection.execute(f"SET {setting} = false")
    for name in ("sqlite_scanner", "ducklake"):
        package = f"duckdb_extension_{name}"
        try:
            root = files(package)
            path = root / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
            connection.load_extension(str(path))
        except (ModuleNotFoundError, duckdb.IOException) as error:
            raise ConfigurationError(
                f"DuckDB {duckdb.__version__} cannot load its extension {name}: {error}",
                hint=f"Install {package.replace('_', '-')}=={duckdb.__version__}, as DuckDB itself.",
            ) from error


@contextmanager
def errors_of(what: object, hint: str = "The stored rows are unchanged.") -> Iterator[None]:
    """Turn the errors of DuckDB, SQLite and the disk into StoreError."""
    try:
        yield
    except (duckdb.Error, sqlite3.Error) as error:
        raise StoreError(f"{what}: {error}", hint=hint) from error
    except OSError as error:
        hint = "Free disk space, or correct the folder's permissions."
        raise StoreError(f"{what}: {error}", hint=hint) from error


def is_collision(error: duckdb.Error) -> bool:
    """Whether another writer was in the way, so that the same transaction may succeed later."""
    return any(sign in str(error).lower() for sign in _COLLISIONS)


@contextmanager
def locked(path: Path, patience: float) -> Iterator[None]:
    """Hold the lock file; SQLite's locks work on every system and end with the process that holds them."""
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as lock:
        for _ in attempts(patience, path):
            try:
                lock.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise
            else:
                break
        yield


def attempts(patience: float, what: object) -> Iterator[None]:
    """Yield until the caller stops, each time after a longer, jittered wait, for `patience` seconds."""
    deadline, wait = time.monotonic() + patience, 0.01
    while True:
        yield
        if time.monotonic() >= deadline:
            raise StoreError(
                f"{what}: other writers kept the lake busy for {patience:g} s.",
                hint="Wait for them, or look for a writer that hangs; then run again.",
            )
        time.sleep(wait * random.uniform(0.5, 1.5))
        wait = min(wait * 2, 0.5)
