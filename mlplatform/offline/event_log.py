"""Dagster's SQLite event log with its connections kept open.

Dagster opens, and with it prepares and checkpoints, a database anew for every event; a year of daily
partitions is thousands of events. Here the connection of a database is kept, which makes an event almost
three times cheaper (docs/decisions/0007-event-log.md). Tables and files are Dagster's own: either class
reads what the other wrote.
"""

import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dagster import Field
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._serdes import ConfigurableClassData
from sqlalchemy import create_engine
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import StaticPool

from mlplatform.crosscutting.settings import Settings

KEPT = 16
"""Databases whose connection is kept, one per run and one across runs; the longest unused is closed first."""


class EventLog(SqliteEventLogStorage):
    """What `event_log_storage` of our dagster.yaml names; the files are below Dagster's home."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        super().__init__(base_dir, inst_data)

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """It takes no configuration but where to write, by default below Dagster's home."""
        return {"base_dir": Field(str, is_required=False)}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "EventLog":
        """The storage as configured."""
        # The instance that is opened is that of DAGSTER_HOME; another home's events are not its own.
        home = os.environ.get("DAGSTER_HOME") or Settings.load().dagster_home
        return cls(config_value.get("base_dir") or str(Path(home) / "history" / "runs"), inst_data)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        # Everything that uses a connection holds the lock, so one connection serves every thread.
        with self._db_lock, self._engine(shard).connect() as connection, connection.begin():
            yield connection

    def _engine(self, shard: str) -> Engine:
        if shard in self._engines:
            self._engines.move_to_end(shard)
            return self._engines[shard]
        engine = create_engine(
            self.conn_string_for_shard(shard),
            poolclass=StaticPool,
            connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
        )
        if shard not in self._initialized_dbs:
            self._initdb(engine)
            self._initialized_dbs.add(shard)
        self._engines[shard] = engine
        if len(self._engines) > KEPT:
            self._engines.popitem(last=False)[1].dispose()
        return engine

    def dispose(self) -> None:
        """Close the connections."""
        for engine in self._engines.values():
            engine.dispose()
        self._engines.clear()
        super().dispose()
