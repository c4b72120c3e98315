"""API keys: who may ask the services for what, through SQLAlchemy on SQLite or PostgreSQL.

A key is 256 random bits and stored as its SHA-256 alone. A slow hash with salt would protect passwords, which
can be guessed; these cannot be, and a fast one can be taken on every request. Revoked keys stay as rows, so
that whoever reads a log later still learns whose key it was. It must not know HTTP.
"""

import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import Flag
from functools import reduce
from hashlib import sha256
from operator import or_
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from mlplatform.errors import ConfigurationError, NotFound, StoreError
from mlplatform.stages.monitoring.audit import Event
from mlplatform.stores import audit
from mlplatform.stores.relational import StateStore, UtcDateTime

_BYTES = 32
_PREFIX = "mlp_"
"""So that a key is recognised where it should not be: in a log, in a repository."""
_LONGEST = 100
UNKNOWN = "unknown"
"""Who revoked a key, where nobody says so."""


class Scope(Flag):
    """What a key is good for; `ADMIN` is good for everything."""

    NONE = 0
    SCORE = 1
    INGEST = 2
    ADMIN = 7

    @property
    def word(self) -> str:
        """As it is written by people."""
        return "admin" if self is Scope.ADMIN else " ".join(each.name.lower() for each in self if each.name)


WORDS = {"score": Scope.SCORE, "ingest": Scope.INGEST, "admin": Scope.ADMIN}


class Key(NamedTuple):
    """One key, without its secret."""

    name: str
    digest: str
    scopes: Scope
    made_at: datetime
    made_by: str
    revoked_at: datetime | None


_TABLE = sa.Table(
    "api_keys",
    sa.MetaData(),
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(_LONGEST), nullable=False),
    sa.Column("scopes", sa.String(100), nullable=False),
    sa.Column("made_at", UtcDateTime, nullable=False),
    sa.Column("made_by", sa.String(200), nullable=False),
    sa.Column("revoked_at", UtcDateTime),
)
_ONE_OF_A_NAME = (
    "CREATE UNIQUE INDEX IF NOT EXISTS api_keys_in_use ON api_keys (name) WHERE revoked_at IS NULL"
)


class KeyStore(StateStore):
    """The API keys of a deployment; see `StateStore`."""

    what = "API keys"

    def _make(self) -> None:
        if self._database.create([_TABLE]):
            self._database.run(self._index)
        audit.create(self._database)

    def add(
        self, name: str, scopes: Iterable[str], made_by: str, now: datetime, why: str = ""
    ) -> tuple[str, Key]:
        """Make a key; its secret, which nothing can tell again, and its row. The audit is told `why`.

        Raises
        ------
        ConfigurationError
            if the name is empty, too long or not printable, or a scope is unknown.
        StoreError
            if a key of that name is in use, or the database cannot be reached.
        """
        secret = _PREFIX + secrets.token_urlsafe(_BYTES)
        key = Key(_checked(name), digest_of(secret.encode()), scopes_of(scopes), now, made_by, None)
        row = key._asdict() | {"scopes": key.scopes.word}
        made = _event(key, "made", made_by, why, now)
        try:
            self._database.run(lambda: self._write(sa.insert(_TABLE).values(**row), [made]))
        except StoreError as error:
            if isinstance(error.__cause__, IntegrityError):
                hint = f"Choose another name, or revoke the old one: mlplatform keys revoke {name}"
                raise StoreError(f"there is a key {name!r} already.", hint=hint) from error
            raise
        return secret, key

    def revoke(self, name: str, now: datetime, *, by: str = "", why: str = "") -> Key:
        """End the key of that name; services refuse it within about a second. The audit is told by whom.

        Raises
        ------
        NotFound
            if no key of that name is in use.
        """
        key = next((key for key in self.in_use() if key.name == name), None)
        if key is not None:
            revoked = key._replace(revoked_at=now)
            still = (_TABLE.c.digest == key.digest) & _TABLE.c.revoked_at.is_(None)
            end = sa.update(_TABLE).where(still).values(revoked_at=now)
            event = _event(revoked, "revoked", by or UNKNOWN, why, now)
            if self._database.run(lambda: self._write(end, [event])):
                return revoked
        raise NotFound(f"no key {name!r} is in use.", hint="See `mlplatform keys list`.")

    def all(self) -> list[Key]:
        """Every key, revoked ones too, the oldest first."""
        return self._read(sa.select(_TABLE).order_by(_TABLE.c.made_at, _TABLE.c.name))

    def in_use(self) -> list[Key]:
        """The keys that are good for something now."""
        return self._read(sa.select(_TABLE).where(_TABLE.c.revoked_at.is_(None)))

    def _read(self, query: sa.Select[tuple[object, ...]]) -> list[Key]:
        def work() -> list[Key]:
            with self._database.engine.connect() as connection:
                rows = connection.execute(query).mappings().all()
            return [Key(**(dict(row) | {"scopes": scopes_of(row["scopes"].split())})) for row in rows]

        return self._database.run(work)

    def _write(self, statement: sa.Insert | sa.Update, events: Sequence[Event]) -> int:
        """Change a row and record it, both or neither; how many rows that were."""
        with self._database.engine.begin() as connection:
            changed = int(connection.execute(statement).rowcount)
            if changed:
                audit.append(connection, events)
            return changed

    def _index(self) -> None:
        with self._database.engine.begin() as connection:
            connection.exec_driver_sql(_ONE_OF_A_NAME)


def digest_of(secret: bytes) -> str:
    """Under what a key is stored: 64 hexadecimal digits."""
    return sha256(secret).hexdigest()


def scopes_of(words: Iterable[str]) -> Scope:
    """Scopes as one flag.

    Raises
    ------
    ConfigurationError
        if one is unknown, or there is none.
    """
    given = list(words)
    if not given or any(word not in WORDS for word in given):
        raise ConfigurationError(
            f"got scope {', '.join(given) or 'none'}; allowed: {', '.join(WORDS)}.",
            hint="Give a key the least that its owner needs: --scope score",
        )
    return reduce(or_, (WORDS[word] for word in given))


def _event(key: Key, what: str, who: str, why: str, at: datetime) -> Event:
    """What the audit is told of a key: never the key."""
    now = {"scopes": key.scopes.word.split(), "in_use": key.revoked_at is None}
    return Event(
        kind="key",
        subject=key.name,
        who=who,
        why=why,
        at=at,
        details={
            "action": what,
            "digest": key.digest,
            "before": None if key.revoked_at is None else {**now, "in_use": True},
            "after": now,
        },
        id=f"key:{key.digest}:{what}",
    )


def _checked(name: str) -> str:
    if not name or len(name) > _LONGEST or not name.isprintable():
        raise ConfigurationError(
            f"got a key's name {name[:_LONGEST]!a}; allowed: 1 to {_LONGEST} printable characters.",
            hint="Name it after its owner: reporting, shop-frontend.",
        )
    return name
