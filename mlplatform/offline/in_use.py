"""What of a use case is in use, said for people and programs, and whether the scoring service has it.

It must not change anything.
"""

import time
from typing import Any

from mlplatform.crosscutting.scoring_client import ScoringClient
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import MlplatformError
from mlplatform.offline.deploying import Changed
from mlplatform.stages.deployment.alias import Change, Deployment
from mlplatform.stages.deployment.release import Release

_PAUSE = 0.2
"""Seconds between two questions to the service."""


def release_of(release: Release | None) -> dict[str, Any] | None:
    """A release, short."""
    if release is None:
        return None
    told = {name: getattr(release, name) for name in ("version", "model", "digest", "as_of")}
    return told | {"released_at": release.released_at.isoformat()}


def change_of(change: Change) -> dict[str, Any]:
    """An entry of the alias history; its time as ISO 8601."""
    return {
        "number": change.number,
        "action": change.action,
        "version": change.version,
        "share": change.share,
        "at": change.changed_at.isoformat(),
        "who": change.changed_by,
        "why": change.why,
    }


def deployment_of(present: Deployment) -> dict[str, Any]:
    """What is in use, and what was withdrawn."""
    return {
        "number": present.number,
        "champion": release_of(present.champion),
        "previous": [release_of(release) for release in present.previous],
        "canary": release_of(present.canary),
        "share": present.share,
        "shadow": release_of(present.shadow),
        "withdrawn": [release.version for release in present.withdrawn],
    }


def sentence(use_case: str, present: Deployment) -> str:
    """What is in use, as a sentence."""
    said = [f"{use_case}: {_named(present.champion)} is the champion"]
    if present.canary is not None:
        said.append(f"{_named(present.canary)} answers {present.share:.1%} of the entities as canary")
    if present.shadow is not None:
        said.append(f"{_named(present.shadow)} is asked as shadow")
    if present.previous:
        said.append(f"{_named(present.previous[0])} was the champion before")
    return "; ".join(said) + "."


def changed_of(use_case: str, changed: Changed) -> dict[str, Any]:
    """What a change came to; without the service, which `taken_up` asks."""
    return {
        "use_case": use_case,
        "changed": changed.change is not None,
        "change": change_of(changed.change) if changed.change else None,
        "in_use": deployment_of(changed.present),
        "published": changed.published,
        "said": sentence(use_case, changed.present),
    }


def taken_up(settings: Settings, use_case: str, present: Deployment, wait: float) -> dict[str, Any]:
    """Whether the running service uses this deployment; asked again for up to `wait` seconds.

    `taken_up` is None where nothing answers.
    """
    end = time.monotonic() + wait
    while True:
        told = _asked(settings, use_case, present)
        if told["taken_up"] is not False or time.monotonic() >= end:
            return told
        time.sleep(_PAUSE)


def _asked(settings: Settings, use_case: str, present: Deployment) -> dict[str, Any]:
    try:
        with ScoringClient(settings.scoring_url, timeout=2.0) as client:
            status = client.status()
    except MlplatformError as error:
        return {"taken_up": None, "said": f"The scoring service is not running: {error}"}
    mine = dict(dict(status.get("use_cases", {})).get(use_case, {}))
    if _is(mine, present):
        return {"taken_up": True, "said": "The scoring service has taken it up."}
    return {"taken_up": False, "said": "The scoring service has not taken it up yet; it looks every second."}


def _is(mine: dict[str, Any], present: Deployment) -> bool:
    """Whether the roles of a use case in the status are those of the deployment."""
    wanted = {
        "champion": present.champion.version,
        "canary": present.canary.version if present.canary else None,
        "share": present.share,
        "shadow": present.shadow.version if present.shadow else None,
    }
    roles = mine.get("roles", {})
    return all(roles.get(name) == value for name, value in wanted.items())


def _named(release: Release) -> str:
    return f"version {release.version} ({release.model})"
