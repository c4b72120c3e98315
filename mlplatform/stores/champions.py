"""The history of releases and of the aliases that move over them, on SQLite or PostgreSQL.

Two append-only tables: what was released under which version, and which change made which version the
champion, the canary or the shadow; each row with its entry in the audit. It must not choose a champion and
must not hold a model: a release names its candidate by digest. Nothing is ever changed or deleted.
"""

import math
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from mlplatform.errors import NotFound, StoreError
from mlplatform.stages.deployment.alias import Action, Change, Deployment, check_change, deployed
from mlplatform.stages.deployment.policy import Policy
from mlplatform.stages.deployment.release import Promotion, Release, number, same_service
from mlplatform.stores import audit, audited
from mlplatform.stores.relational import StateStore, UtcDateTime

_METADATA = sa.MetaData()
TABLE = sa.Table(
    "champion_history",
    _METADATA,
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
    sa.Column("policy", sa.JSON(none_as_null=True), nullable=True),
)
CHANGES = sa.Table(
    "alias_history",
    _METADATA,
    sa.Column("use_case", sa.String(200), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("action", sa.String(20), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("share", sa.Float, nullable=False),
    sa.Column("changed_at", UtcDateTime, nullable=False),
    sa.Column("changed_by", sa.String(200), nullable=False),
    sa.Column("why", sa.Text, nullable=False),
)


class ChampionStore(StateStore):
    """Releases and aliases of a deployment; see `StateStore`."""

    what = "champion history"

    def _make(self) -> None:
        self._database.create([TABLE, CHANGES], append_only=True)
        audit.create(self._database)
        self._database.run(lambda: self._database.numbered(self._adopt, "what was released before"))

    def promote(self, promotion: Promotion) -> Release:
        """Release a model and make it the champion; safe against other processes that do so at the same time.

        Returns
        -------
        Release
            the new release, or the present one, unchanged, if the champion is served just so already.

        Raises
        ------
        StoreError
            if the promotion cannot be stored as it is, or the database cannot be reached.
        """
        _check(promotion)
        return self._append(promotion, champion=True)

    def release(self, promotion: Promotion) -> Release:
        """Release a model without making it the champion; a release just like it is given back.

        Raises
        ------
        StoreError
            as `promote`.
        """
        _check(promotion)
        return self._append(promotion, champion=False)

    def change(
        self,
        use_case: str,
        action: Action,
        version: int,
        *,
        who: str,
        why: str,
        at: datetime,
        share: float = 0.0,
    ) -> Change:
        """Move an alias to a released version; version 0 takes a canary or shadow away.

        Returns
        -------
        Change
            the new entry, or the newest one, unchanged, if the alias is there already.

        Raises
        ------
        ConfigurationError
            if the version, the share or the rollback is not allowed.
        StoreError
            if the database cannot be reached.
        """
        return self._database.run(
            lambda: self._database.numbered(
                lambda: self._change(use_case, action, version, share, who=who, why=why, at=at), use_case
            )
        )

    def champion(self, use_case: str) -> Release | None:
        """The present champion of the use case, or None if nothing was promoted yet."""
        present = self.deployment(use_case)
        return present.champion if present else None

    def deployment(self, use_case: str) -> Deployment | None:
        """What of the use case is in use; None if nothing was promoted yet."""
        return self._database.run(lambda: deployed(*self._read(use_case)))

    def history(self, use_case: str) -> tuple[Release, ...]:
        """Every release of the use case, version 1 first."""
        return self._database.run(lambda: self._read(use_case)[0])

    def changes(self, use_case: str) -> tuple[Change, ...]:
        """Every change of the use case's aliases, the oldest first."""
        return self._database.run(lambda: self._read(use_case)[1])

    def newest(self) -> dict[str, int]:
        """Per use case the number of its newest change; cheap, to be asked often."""
        query = sa.select(CHANGES.c.use_case, sa.func.max(CHANGES.c.number).label("newest")).group_by(
            CHANGES.c.use_case
        )

        def ask() -> dict[str, int]:
            with self._database.engine.connect() as connection:
                return {row.use_case: row.newest for row in connection.execute(query)}

        return self._database.run(ask)

    def find(self, use_case: str, version: int) -> Release:
        """A release by its version; NotFound if there is none."""
        found = [release for release in self.history(use_case) if release.version == version]
        if not found:
            raise NotFound(
                f"{use_case!r} has no version {version}.", hint=f"See `mlplatform history {use_case}`."
            )
        return found[0]

    def _append(self, promotion: Promotion, *, champion: bool) -> Release:
        return self._database.run(
            lambda: self._database.numbered(lambda: self._release(promotion, champion), promotion.use_case)
        )

    def _release(self, promotion: Promotion, champion: bool) -> Release:
        """Insert under the next version; the primary keys let one process have it, the others look again."""
        releases, changes = self._read(promotion.use_case)
        present = deployed(releases, changes)
        if champion and present is not None and same_service(promotion, present.champion):
            return present.champion
        alike = [release for release in releases if same_service(promotion, release)]
        if alike and not champion:
            return alike[-1]
        release = number(promotion, len(releases) + 1)
        change = Change(**_promoted(release, len(changes) + 1)) if champion else None
        with self._database.engine.begin() as connection:
            connection.execute(sa.insert(TABLE).values(**_row(release)))
            if change is not None:
                connection.execute(sa.insert(CHANGES).values(**msgspec.structs.asdict(change)))
            audit.append(connection, audited.released(release, releases, change, changes))
        return release

    def _change(
        self, use_case: str, action: Action, version: int, share: float, *, who: str, why: str, at: datetime
    ) -> Change:
        releases, changes = self._read(use_case)
        present = deployed(releases, changes)
        if changes and _already(action, version, share, present):
            return changes[-1]
        check_change(action, version, share, releases, present)
        change = Change(
            use_case=use_case,
            number=len(changes) + 1,
            action=action,
            version=version,
            share=share,
            changed_at=at,
            changed_by=who,
            why=why,
        )
        with self._database.engine.begin() as connection:
            connection.execute(sa.insert(CHANGES).values(**msgspec.structs.asdict(change)))
            audit.append(connection, [audited.changed(change, releases, changes)])
        return change

    def _read(self, use_case: str) -> tuple[tuple[Release, ...], tuple[Change, ...]]:
        releases = sa.select(TABLE).where(TABLE.c.use_case == use_case).order_by(TABLE.c.version)
        changes = sa.select(CHANGES).where(CHANGES.c.use_case == use_case).order_by(CHANGES.c.number)
        with self._database.engine.connect() as connection:
            # Changes first: a change that was seen names a release that is there.
            found = tuple(Change(**row) for row in connection.execute(changes).mappings())
            return tuple(_read_release(row) for row in connection.execute(releases).mappings()), found

    def _adopt(self) -> None:
        """Give releases of before there was an alias history their promotions: each one was the champion.

        They are those without a policy; every later one has one.
        """
        changed = sa.exists().where(CHANGES.c.use_case == TABLE.c.use_case).correlate(TABLE)
        orphans = sa.select(TABLE).where(TABLE.c.policy == sa.null(), ~changed)
        with self._database.engine.connect() as connection:
            if connection.execute(orphans.limit(1)).first() is None:
                return
        with self._database.engine.begin() as connection:
            old = [_read_release(row) for row in connection.execute(orphans).mappings()]
            for release in old:
                connection.execute(sa.insert(CHANGES).values(**_promoted(release, release.version)))


def _row(release: Release) -> dict[str, Any]:
    return {**msgspec.structs.asdict(release), "policy": msgspec.to_builtins(release.policy)}


def _read_release(row: Any) -> Release:
    told = dict(row)
    return Release(**told | {"policy": msgspec.convert(told["policy"] or {}, Policy)})


def _promoted(release: Release, number: int) -> dict[str, Any]:
    return {
        "use_case": release.use_case,
        "number": number,
        "action": "promote",
        "version": release.version,
        "share": 0.0,
        "changed_at": release.released_at,
        "changed_by": release.released_by,
        "why": release.why,
    }


def _already(action: Action, version: int, share: float, present: Deployment | None) -> bool:
    """Whether the alias is where it is to go."""
    if present is None:
        return False
    match action:
        case "promote" | "rollback":
            return present.champion.version == version
        case "canary":
            return (present.canary.version if present.canary else 0) == version and present.share == share
        case "shadow":
            return (present.shadow.version if present.shadow else 0) == version


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
