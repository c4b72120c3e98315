"""Which releases of a use case are in use and as what: values of the alias history, and what they add up to.

An alias is a name that is moved from version to version: `champion` answers, `canary` answers a share of
the entities, `shadow` is asked after the answer and only logged. The history is append-only; what is in use
now is computed from it. It must not know where the history is kept (stores/champions.py) or who serves it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, get_args

import msgspec

from mlplatform.errors import ConfigurationError
from mlplatform.stages.deployment.release import Release

Alias = Literal["champion", "canary", "shadow"]
ALIASES: tuple[Alias, ...] = get_args(Alias)
Action = Literal["promote", "rollback", "canary", "shadow"]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the alias history: who did what, when and why.

    `number` counts a use case's changes from 1; `version` 0 takes the alias away. `share` (0 to 1) is the
    part of the entities that a canary answers. A rollback takes champions back: those above the one it
    returns to are no longer fallbacks. `changed_at` is UTC, `why` one sentence.
    """

    use_case: str
    number: int
    action: Action
    version: int
    share: float = 0.0
    changed_at: datetime
    changed_by: str
    why: str


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """What of a use case is in use after its newest change."""

    number: int
    """Of the newest change: it tells one deployment from another."""
    champion: Release
    previous: tuple[Release, ...] = ()
    """The champions before it that were not taken back, the latest first."""
    canary: Release | None = None
    share: float = 0.0
    shadow: Release | None = None
    withdrawn: tuple[Release, ...] = ()
    """Champions taken back by a rollback and not promoted since."""

    @property
    def releases(self) -> tuple[Release, ...]:
        """Every release in use, the champion first."""
        others = [each for each in (self.canary, self.shadow) if each is not None]
        return tuple({each.version: each for each in (self.champion, *others, *self.previous)}.values())


def deployed(releases: Sequence[Release], changes: Sequence[Change]) -> Deployment | None:
    """What the changes, in their order, add up to; None before the first promotion."""
    by_version = {release.version: release for release in releases}
    champions: list[int] = []
    withdrawn: list[int] = []
    canary, share, shadow = 0, 0.0, 0
    for change in changes:
        version = change.version
        match change.action:
            case "promote":
                champions = [*(each for each in champions if each != version), version]
                withdrawn = [each for each in withdrawn if each != version]
            case "rollback":
                at = champions.index(version) + 1
                withdrawn += champions[at:]
                champions = champions[:at]
            case "canary":
                canary, share = version, change.share
            case "shadow":
                shadow = version
        canary = 0 if champions and canary == champions[-1] else canary
        shadow = 0 if champions and shadow == champions[-1] else shadow
    if not champions:
        return None
    *previous, champion = champions
    return Deployment(
        number=changes[-1].number,
        champion=by_version[champion],
        previous=tuple(by_version[version] for version in reversed(previous)),
        canary=by_version.get(canary),
        share=share if canary else 0.0,
        shadow=by_version.get(shadow),
        withdrawn=tuple(by_version[version] for version in withdrawn),
    )


def check_change(
    action: Action, version: int, share: float, releases: Sequence[Release], present: Deployment | None
) -> None:
    """Refuse a change that the present deployment does not allow.

    Raises
    ------
    ConfigurationError
        for an unknown version, a share outside 0 to 1, a rollback to what was no champion before, or an alias
        on the champion itself.
    """
    known = [release.version for release in releases]
    takes_away = version == 0 and action in ("canary", "shadow")
    if version not in known and not takes_away:
        raise ConfigurationError(
            f"got version {version}; released: {', '.join(map(str, known)) or 'none'}.",
            hint="See `mlplatform history`.",
        )
    if not 0.0 <= share <= 1.0 or (action == "canary" and version and share == 0.0):
        raise ConfigurationError(
            f"got a share of {share}; allowed: above 0, at most 1.",
            hint="0.05 is a twentieth of the entities.",
        )
    if action == "rollback":
        earlier = [release.version for release in present.previous] if present else []
        if version not in earlier:
            raise ConfigurationError(
                f"got a rollback to version {version}; earlier champions: "
                f"{', '.join(map(str, earlier)) or 'none'}.",
                hint="Any released version can be made the champion with `mlplatform promote`.",
            )
    elif action != "promote" and (present is None or version == present.champion.version):
        raise ConfigurationError(
            f"got version {version} as {action}; the champion is "
            f"{present.champion.version if present else 'missing'}.",
            hint=f"A {action} is another release than the champion.",
        )
