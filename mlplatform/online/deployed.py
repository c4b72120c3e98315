"""What of one use case is in use, as one value that is swapped by one reference: versions and their roles.

It must not load anything, nor call a version.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import msgspec

from mlplatform.errors import RequestError
from mlplatform.online.bundle import Bundle
from mlplatform.online.replies import shown
from mlplatform.online.version import Version
from mlplatform.stages.deployment.policy import Policy
from mlplatform.stages.scoring.score import Link
from mlplatform.stores.precomputed import Precomputed

_SHARES = 2**32
_NUMBER = re.compile(r"[0-9]{1,9}")
Tried = Iterator[tuple[Link, Version]]
"""Versions in the order in which they are asked, each with its link."""


@dataclass(frozen=True)
class Deployed:
    """The versions of a use case that are loaded; `versions` are all of them by number."""

    number: int
    """Of the change of the alias history that it follows."""
    champion: Version
    previous: tuple[Version, ...] = ()
    canary: Version | None = None
    share: float = 0.0
    shadow: Version | None = None
    asked_for: tuple[Version, ...] = ()
    """Loaded by request, beside those with a role."""
    precomputed: Precomputed | None = None

    @property
    def plain(self) -> bool:
        """Whether the champion is asked first, whatever the question, and no shadow after it."""
        return (
            self.canary is None
            and self.shadow is None
            and self.champion.bundle.release.policy.precomputed != "first"
        )

    @property
    def bundle(self) -> Bundle:
        """The champion's."""
        return self.champion.bundle

    @property
    def policy(self) -> Policy:
        """How it is served: as the champion's release says."""
        return self.champion.bundle.release.policy

    @property
    def versions(self) -> dict[int, Version]:
        """Every loaded version by its number."""
        roles = (self.champion, self.canary, self.shadow, *self.previous, *self.asked_for)
        return {each.bundle.release.version: each for each in roles if each is not None}

    def version(self, number: str) -> Version:
        """The loaded version of this number; RequestError 404 if there is none."""
        versions = self.versions
        found = versions.get(int(number)) if _NUMBER.fullmatch(number) else None
        if found is None:
            raise RequestError(
                f"got version {shown(number)} of {self.bundle.release.use_case!r}; in use: "
                f"{', '.join(map(str, sorted(versions)))}.",
                status=404,
            )
        return found

    def links(self, number: str | None, entity: Sequence[Any] | None) -> Tried:
        """Who is asked, one after the other: the version asked for, canary or champion, then earlier ones.

        `entity` are the values by which a canary's share is chosen; who has the same has the same version.
        """
        first: Version | None = None
        if number is not None:
            first = self.version(number)
            yield "asked", first
        elif self.canary is not None and entity is not None and _in_share(entity, self.share):
            first = self.canary
            yield "canary", first
        if first is not self.champion:
            yield "champion", self.champion
        for version in self.previous:
            if version is not first:
                yield "previous", version


def _in_share(entity: Sequence[Any], share: float) -> bool:
    return crc32(msgspec.json.encode(entity)) < share * _SHARES
