"""Which dead letters were sent again, so that none is by mistake. It must not send anything."""

from datetime import datetime

import sqlalchemy as sa

from mlplatform.stores.relational import StateStore, UtcDateTime

TABLE = sa.Table(
    "redriven_letters",
    sa.MetaData(),
    sa.Column("letter", sa.String(200), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("who", sa.String(200), nullable=False),
)


class Redriven(StateStore):
    """The letters that were sent again; see `StateStore`."""

    what = "redriven dead letters"

    def _make(self) -> None:
        self._database.create([TABLE], append_only=True)

    def counts(self) -> dict[str, int]:
        """How often each letter was sent again."""
        query = sa.select(TABLE.c.letter, sa.func.max(TABLE.c.number).label("number")).group_by(
            TABLE.c.letter
        )

        def ask() -> dict[str, int]:
            with self._database.engine.connect() as connection:
                return {row.letter: row.number for row in connection.execute(query)}

        return self._database.run(ask)

    def note(self, letter: str, number: int, at: datetime, who: str) -> None:
        """It was sent for the `number`th time; noted already: nothing changes."""

        def write() -> None:
            try:
                with self._database.engine.begin() as connection:
                    values = {"letter": letter, "number": number, "at": at, "who": who}
                    connection.execute(sa.insert(TABLE).values(**values))
            except sa.exc.IntegrityError:
                return

        self._database.run(write)
