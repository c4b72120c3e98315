"""The audit: who changed what, when and why, as an append-only chain on SQLite or PostgreSQL.

`append` puts entries into the transaction that makes the change itself: there is neither without the other.
Writers wait for one another, so that numbers and hashes have no gap. It must not know what a champion or a
key is; those who change them say so.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from mlplatform.crosscutting.clock import utc_now
from mlplatform.crosscutting.settings import Settings
from mlplatform.stages.monitoring.audit import START, Entry, Event, Verdict, check_anchor, seal, verify
from mlplatform.stores.relational import Database, StateStore

TABLE = sa.Table(
    "audit_log",
    sa.MetaData(),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("details", sa.Text, nullable=False),
    sa.Column("previous", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)
_LOCK = 0x61756469
"""PostgreSQL's advisory lock of those who append ("audi")."""
_A_READ = 2_000
_A_LOOK = 500
"""Ids looked up by one statement."""


class AuditLog(StateStore):
    """The audit of a deployment; see `StateStore`."""

    what = "audit"

    def _make(self) -> None:
        if self._database.engine.dialect.name == "sqlite":
            sa.event.listen(self._database.engine, "connect", _as_it_is)
        create(self._database)

    @classmethod
    def from_settings(cls, settings: Settings) -> "AuditLog":
        """The audit of a deployment."""
        return cls(settings.state_url)

    def record(
        self,
        kind: str,
        subject: str,
        *,
        who: str,
        why: str,
        details: dict[str, Any] | None = None,
        at: datetime | None = None,
        id: str = "",
    ) -> Entry:
        """Record one event, durable when this returns; `at` is now if left out (see `Event` for the others).

        Returns
        -------
        Entry
            the new one, or that of before if one of this id is there already.

        Raises
        ------
        StoreError
            if the event is not as `Event` says, or the database refuses.
        """
        event = Event(
            kind=kind, subject=subject, who=who, why=why, at=at or utc_now(), details=details or {}, id=id
        )
        return self.record_all([event])[0]

    def record_all(self, events: Sequence[Event]) -> list[Entry]:
        """Record events in one transaction; their entries, in the same order.

        Raises
        ------
        StoreError
            as `record`; then none of them was recorded.
        """
        if not events:
            return []

        def work() -> list[Entry]:
            with self._database.engine.begin() as connection:
                return append(connection, events)

        return self._database.run(lambda: self._database.numbered(work, events[0].subject))

    def entries(
        self, *, kind: str = "", subject: str = "", after: int = 0, newest: int | None = None
    ) -> list[Entry]:
        """Entries in their order: of a kind and subject, later than number `after`, at most the `newest`."""
        query = sa.select(TABLE).where(TABLE.c.number > after)
        for column, value in ((TABLE.c.kind, kind), (TABLE.c.subject, subject)):
            query = query.where(column == value) if value else query
        ordered = query.order_by(TABLE.c.number.desc() if newest is not None else TABLE.c.number)
        found = self._database.run(lambda: self._read(ordered.limit(newest)))
        return found[::-1] if newest is not None else found

    def latest(self, kind: str, subject: str) -> Entry | None:
        """The newest entry of this kind and subject; None if there is none."""
        found = self.entries(kind=kind, subject=subject, newest=1)
        return found[0] if found else None

    def known(self, ids: Sequence[str]) -> set[str]:
        """Those of the ids of events that are recorded."""

        def work() -> set[str]:
            with self._database.engine.connect() as connection:
                return {entry.id for entry in _recorded(connection, ids).values()}

        return self._database.run(work)

    def verify(self, anchor: str = "") -> Verdict:
        """Recompute the chain; `anchor` is the hash of an entry that was noted elsewhere.

        Raises
        ------
        StoreError
            if the anchor is no hash, or the database cannot be read.
        """
        check_anchor(anchor)
        return self._database.run(lambda: verify(self._all(), anchor))

    def _all(self) -> Iterator[Entry]:
        after: int | None = None
        while True:
            query = sa.select(TABLE).order_by(TABLE.c.number).limit(_A_READ)
            found = self._read(query if after is None else query.where(TABLE.c.number > after))
            yield from found
            if len(found) < _A_READ:
                return
            after = found[-1].number

    def _read(self, query: sa.Select[tuple[Any, ...]]) -> list[Entry]:
        with self._database.engine.connect() as connection:
            return [_entry(row) for row in connection.execute(query).mappings()]


def create(database: Database) -> None:
    """Make the audit's table where it is not there yet: in a state that an earlier version made."""
    database.create([TABLE], append_only=True)


def append(connection: sa.Connection, events: Sequence[Event]) -> list[Entry]:
    """Append events within the caller's transaction, after its own rows; see `AuditLog.record`.

    Raises
    ------
    StoreError
        if an event is not as `Event` says.
    sqlalchemy.exc.IntegrityError
        if another process took the number first: do the whole transaction again (`Database.numbered`).
    """
    _alone(connection)
    recorded = _recorded(connection, [event.id for event in events if event.id])
    head = connection.execute(sa.select(TABLE).order_by(TABLE.c.number.desc()).limit(1)).mappings().first()
    number, previous = (int(head["number"]), str(head["hash"])) if head else (0, START)
    entries, new = list[Entry](), list[dict[str, Any]]()
    for event in events:
        if event.id in recorded:
            entries.append(recorded[event.id])
            continue
        entry = seal(event, number + 1, previous)
        number, previous = entry.number, entry.hash
        recorded[entry.id] = entry
        new.append(msgspec.structs.asdict(entry))
        entries.append(entry)
    if new:
        connection.execute(sa.insert(TABLE), new)
    return entries


def _alone(connection: sa.Connection) -> None:
    """Wait until nobody else appends, and let nobody append before this transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    elif connection.dialect.name == "sqlite":
        driver = connection.connection.dbapi_connection
        if driver is not None and not driver.in_transaction:  # rows of the caller's began one otherwise
            connection.exec_driver_sql("BEGIN IMMEDIATE")


def _recorded(connection: sa.Connection, ids: Sequence[str]) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for start in range(0, len(ids), _A_LOOK):
        query = sa.select(TABLE).where(TABLE.c.id.in_(ids[start : start + _A_LOOK]))
        found |= {row["id"]: _entry(row) for row in connection.execute(query).mappings()}
    return found


def _entry(row: Any) -> Entry:
    # SQLite keeps whatever type it is given; a number that is none is not where its entry belongs.
    number = row["number"]
    return Entry(**dict(row) | {"number": number if isinstance(number, int) else 0})


def _as_it_is(connection: Any, _record: object) -> None:
    """Bytes that are no UTF-8 are read all the same: `verify` has to see a damaged entry to name it."""
    connection.text_factory = _text


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")


@contextmanager
def opened(settings: Settings) -> Iterator[AuditLog]:
    """The audit of a deployment, to be closed after the block."""
    log = AuditLog.from_settings(settings)
    try:
        yield log
    finally:
        log.close()
