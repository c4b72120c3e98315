"""Results of checks that a person or a schedule starts by command, kept: an append-only table of proofs.

What a pipeline checks by itself is in Dagster's event log; what is tried by command, such as replaying a year
of events, would be known to nobody once its terminal is closed. It must not try anything, nor say how long a
proof counts.
"""

from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from mlplatform.errors import StoreError
from mlplatform.stores.relational import StateStore, UtcDateTime

PARITY, STALENESS, REPRODUCED = "online_parity", "staleness", "training_reproduced"
"""Kept by `mlplatform verify parity`, `mlplatform retrain` and `mlplatform verify training`."""
MANUAL = "manual:"
"""Begins the name of what a person tested by hand; a test of the ML Test Score follows."""

TABLE = sa.Table(
    "proofs",
    sa.MetaData(),
    sa.Column("use_case", sa.String(200), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("by", sa.String(200), nullable=False),
    sa.Column("passed", sa.Boolean, nullable=False),
    sa.Column("figures", sa.JSON, nullable=False),
)


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """One result: what was tried of which use case, when and by whom, whether it held, and its figures."""

    use_case: str
    name: str
    at: datetime
    by: str
    passed: bool
    figures: dict[str, Any] = {}


class ProofStore(StateStore):
    """The proofs of a deployment; see `StateStore`."""

    what = "proofs"

    def _make(self) -> None:
        self._database.create([TABLE], append_only=True)

    def add(self, proof: Proof) -> None:
        """Keep a result under the next number of its use case.

        Raises
        ------
        StoreError
            if its time has no zone, its figures are no JSON, or the database cannot be reached.
        """
        if proof.at.tzinfo is None:
            raise StoreError(
                f"got a proof at {proof.at.isoformat()} without a time zone; UTC is wanted.",
                hint="Use datetime.now(UTC), or the clock that is injected.",
            )
        try:
            plain = msgspec.json.decode(msgspec.json.encode(proof.figures))
        except (TypeError, ValueError) as error:
            raise StoreError(
                f"the figures of proof {proof.name!r} are no JSON: {error}.",
                hint="Give texts, numbers, lists and dictionaries.",
            ) from error
        row = msgspec.structs.asdict(proof) | {"figures": plain}
        self._database.run(lambda: self._database.numbered(lambda: self._insert(row), proof.use_case))

    def all(self, use_case: str) -> tuple[Proof, ...]:
        """Every proof of a use case, the oldest first."""
        query = sa.select(TABLE).where(TABLE.c.use_case == use_case).order_by(TABLE.c.number)

        def ask() -> tuple[Proof, ...]:
            with self._database.engine.connect() as connection:
                rows = connection.execute(query).mappings().all()
            return tuple(Proof(**{k: v for k, v in row.items() if k != "number"}) for row in rows)

        return self._database.run(ask)

    def _insert(self, row: dict[str, Any]) -> None:
        newest = sa.select(sa.func.max(TABLE.c.number)).where(TABLE.c.use_case == row["use_case"])
        with self._database.engine.begin() as connection:
            number = (connection.execute(newest).scalar() or 0) + 1
            connection.execute(sa.insert(TABLE).values(**row, number=number))
