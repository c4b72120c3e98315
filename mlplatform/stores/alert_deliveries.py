"""How far each target has been told of the alerts, so that a restart neither loses nor repeats one.

One row for a target: up to which change of `stores/alerts.py` it is settled, and how the next one fares. It
must not send anything.
"""

from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa

from mlplatform.stores.relational import StateStore, UtcDateTime

_METADATA = sa.MetaData()
TABLE = sa.Table(
    "alert_targets",
    _METADATA,
    sa.Column("target", sa.String(200), primary_key=True),
    sa.Column("done", sa.Integer, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_at", UtcDateTime, nullable=True),
    sa.Column("delivered", sa.Integer, nullable=False),
    sa.Column("given_up", sa.Integer, nullable=False),
    sa.Column("trouble", sa.Text, nullable=False),
)


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """Where a target stands."""

    target: str
    done: int = 0
    """Number of the last change that is settled."""
    attempts: int = 0
    """At the change after it."""
    next_at: datetime | None = None
    """Not to be tried before."""
    delivered: int = 0
    given_up: int = 0
    trouble: str = ""
    """Why the last attempt failed, or the last change that was given up."""


class AlertDeliveries(StateStore):
    """The targets' progress; see `StateStore`."""

    what = "delivery of alerts"

    def _make(self) -> None:
        self._database.create([TABLE])

    def of(self, target: str) -> Progress:
        """Of one target; a new one begins at the first change."""
        found = self._rows(sa.select(TABLE).where(TABLE.c.target == target))
        return found[0] if found else Progress(target=target)

    def all(self) -> list[Progress]:
        """Of every target that was ever told, by name."""
        return self._rows(sa.select(TABLE).order_by(TABLE.c.target))

    def claim(self, seen: Progress, now: datetime, lease: timedelta) -> bool:
        """Take the next change in hand, before it is sent; False if another process has it.

        Whoever ends before it says how it went lets it be tried again after `lease`.
        """
        taken = msgspec.structs.replace(seen, attempts=seen.attempts + 1, next_at=now + lease)
        return self._swap(seen, taken)

    def settle(self, seen: Progress, *, delivered: bool, number: int, trouble: str = "") -> Progress:
        """The change is settled: delivered, or given up (`trouble` says why)."""
        after = Progress(
            target=seen.target,
            done=number,
            delivered=seen.delivered + delivered,
            given_up=seen.given_up + bool(trouble),
            trouble=trouble or ("" if delivered else seen.trouble),
        )
        self._swap(seen, after)
        return after

    def postpone(self, seen: Progress, until: datetime, trouble: str) -> None:
        """The attempt failed; the next one is due then."""
        self._swap(seen, msgspec.structs.replace(seen, next_at=until, trouble=trouble))

    def _swap(self, seen: Progress, after: Progress) -> bool:
        """Write `after` where the table still has what was seen."""
        values = msgspec.structs.asdict(after)
        at = sa.and_(
            TABLE.c.target == seen.target, TABLE.c.done == seen.done, TABLE.c.attempts == seen.attempts
        )

        def write() -> bool:
            with self._database.engine.begin() as connection:
                if connection.execute(sa.update(TABLE).where(at).values(**values)).rowcount:
                    return True
            if seen != Progress(target=seen.target):
                return False
            try:
                with self._database.engine.begin() as connection:
                    connection.execute(sa.insert(TABLE).values(**values))
            except sa.exc.IntegrityError:
                return False
            return True

        return self._database.run(write)

    def _rows(self, query: sa.Select[Any]) -> list[Progress]:
        def ask() -> list[Progress]:
            with self._database.engine.connect() as connection:
                return [Progress(**row) for row in connection.execute(query).mappings()]

        return self._database.run(ask)
