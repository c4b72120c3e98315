"""Alerts of a deployment: which are open, and the history of all, on SQLite or PostgreSQL.

An alert is named by use case, kind and subject. While one is open, raising it again only counts, unless it
became more severe. The history is append-only and numbered without gaps: whoever tells others of it reads it
behind a number. It must not send anything.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from mlplatform.crosscutting.alerting.alert import Alert, AlertChange, OpenAlert
from mlplatform.crosscutting.clock import utc_now
from mlplatform.stores.relational import StateStore, UtcDateTime

T = TypeVar("T")

_METADATA = sa.MetaData()


def _said() -> list[sa.Column[Any]]:
    """What an alert says beside its name."""
    return [
        sa.Column("severity", sa.String(20), nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("remedy", sa.Text, nullable=False),
        sa.Column("figures", sa.JSON, nullable=False),
        sa.Column("said_at", UtcDateTime, nullable=False),
    ]


CHANGES = sa.Table(
    "alert_history",
    _METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("action", sa.String(20), nullable=False),
    sa.Column("use_case", sa.String(200), nullable=False),
    sa.Column("kind", sa.String(200), nullable=False),
    sa.Column("subject", sa.String(200), nullable=False),
    *_said(),
    sa.Column("changed_at", UtcDateTime, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("repeats", sa.Integer, nullable=False),
)
OPEN = sa.Table(
    "alerts_open",
    _METADATA,
    sa.Column("use_case", sa.String(200), primary_key=True),
    sa.Column("kind", sa.String(200), primary_key=True),
    sa.Column("subject", sa.String(200), primary_key=True),
    *_said(),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("since", UtcDateTime, nullable=False),
    sa.Column("repeats", sa.Integer, nullable=False),
)


class AlertStore(StateStore):
    """Alerts of a deployment; see `StateStore`.

    Safe against other processes that raise and clear at the same time.
    """

    what = "alerts"

    def _make(self) -> None:
        self._database.create([CHANGES], append_only=True)
        self._database.create([OPEN])

    def raise_(self, alert: Alert) -> bool:
        """Open the alert, or count it once more if it is open.

        Returns
        -------
        bool
            whether people are to be told: it is new, or more severe than it was.
        """
        return self._again(lambda: self._raise(alert), alert.kind)

    def clear(self, use_case: str, kind: str, subject: str, why: str, *, at: datetime | None = None) -> bool:
        """Close an alert; `why` is one sentence. False if it was not open."""
        moment = at or utc_now()
        return self._again(lambda: self._clear(_where(use_case, kind, subject), why, moment), kind)

    def open(
        self, use_case: str | None = None, kind: str | None = None, subject: str | None = None
    ) -> tuple[OpenAlert, ...]:
        """Open alerts, the oldest first; of one use case, kind or subject where it is given."""
        query = _narrowed(sa.select(OPEN), OPEN, use_case, kind, subject).order_by(OPEN.c.number)
        return tuple(_open(row) for row in self._all(query))

    def history(
        self,
        use_case: str | None = None,
        kind: str | None = None,
        subject: str | None = None,
        *,
        after: int = 0,
        limit: int | None = None,
    ) -> tuple[AlertChange, ...]:
        """Changes behind that number, the oldest first, at most `limit`."""
        query = _narrowed(sa.select(CHANGES), CHANGES, use_case, kind, subject).where(
            CHANGES.c.number > after
        )
        return tuple(_change(row) for row in self._all(query.order_by(CHANGES.c.number).limit(limit)))

    def newest(self) -> int:
        """Number of the newest change; 0 if there is none. Cheap, to be asked often."""
        rows = self._all(sa.select(sa.func.max(CHANGES.c.number).label("newest")))
        return int(rows[0]["newest"] or 0)

    def _raise(self, alert: Alert) -> bool:
        with self._database.engine.begin() as connection:
            present = connection.execute(sa.select(OPEN).where(_where(*_name(alert)))).mappings().first()
            if present is None:
                number = _append(connection, "raised", alert, alert.at)
                connection.execute(
                    sa.insert(OPEN).values(**_row(alert), number=number, since=alert.at, repeats=0)
                )
                return True
            worse = alert.worse_than(_alert(present))
            change = sa.update(OPEN).where(_where(*_name(alert)), OPEN.c.number == present["number"])
            done = connection.execute(change.values(**_row(alert), repeats=OPEN.c.repeats + 1))
            if done.rowcount != 1:
                raise _Overtaken
            if worse:
                _append(connection, "worsened", alert, alert.at)
            return worse

    def _clear(self, where: sa.ColumnElement[bool], why: str, at: datetime) -> bool:
        with self._database.engine.begin() as connection:
            present = connection.execute(sa.select(OPEN).where(where)).mappings().first()
            if present is None:
                return False
            done = connection.execute(sa.delete(OPEN).where(where, OPEN.c.number == present["number"]))
            if done.rowcount != 1:
                raise _Overtaken
            _append(connection, "cleared", _alert(present), at, why, present["repeats"])
            return True

    def _again(self, work: Callable[[], bool], who: str) -> bool:
        return self._database.run(lambda: self._database.numbered(work, who))

    def _all(self, query: sa.Select[Any]) -> list[Any]:
        def ask() -> list[Any]:
            with self._database.engine.connect() as connection:
                return list(connection.execute(query).mappings())

        return self._database.run(ask)


class _Overtaken(sa.exc.IntegrityError):
    """Another process was first with this alert; looked at again, as for a number that is taken."""

    def __init__(self) -> None:
        super().__init__(None, None, Exception("overtaken"))


def _append(
    connection: sa.Connection, action: str, alert: Alert, at: datetime, why: str = "", repeats: int = 0
) -> int:
    """Write a change under the next number; the primary key lets one process have it."""
    number = 1 + (connection.execute(sa.select(sa.func.max(CHANGES.c.number))).scalar() or 0)
    more = {"number": number, "action": action, "changed_at": at, "why": why, "repeats": repeats}
    connection.execute(sa.insert(CHANGES).values(**_row(alert), **more))
    return number


def _name(alert: Alert) -> tuple[str, str, str]:
    return alert.use_case, alert.kind, alert.subject


def _where(use_case: str, kind: str, subject: str) -> sa.ColumnElement[bool]:
    return sa.and_(OPEN.c.use_case == use_case, OPEN.c.kind == kind, OPEN.c.subject == subject)


def _narrowed(query: sa.Select[Any], table: sa.Table, *names: str | None) -> sa.Select[Any]:
    for column, name in zip((table.c.use_case, table.c.kind, table.c.subject), names, strict=True):
        query = query if name is None else query.where(column == name)
    return query


def _row(alert: Alert) -> dict[str, Any]:
    said = msgspec.structs.asdict(alert)
    return {"said_at": said.pop("at"), **said}


def _alert(row: Any) -> Alert:
    names = [name for name in Alert.__struct_fields__ if name != "at"]
    return Alert(**{name: row[name] for name in names}, at=row["said_at"])


def _open(row: Any) -> OpenAlert:
    return OpenAlert(
        alert=_alert(row),
        **{name: row[name] for name in ("number", "since", "repeats")},
        last_at=row["said_at"],
    )


def _change(row: Any) -> AlertChange:
    return AlertChange(
        alert=_alert(row),
        at=row["changed_at"],
        **{name: row[name] for name in ("number", "action", "why", "repeats")},
    )
