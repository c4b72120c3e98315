"""What the audit is told of changes of the deployment and of data: values in, events out.

Each event is named by what it tells of, so one that is told again is recognised. It must not open a database.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mlplatform.stages.deployment.alias import Change, Deployment, deployed
from mlplatform.stages.deployment.release import Release
from mlplatform.stages.monitoring.audit import Event

if TYPE_CHECKING:  # the process that waits for batch scores loads no polars
    from mlplatform.stores.batches import Manifest

CHAMPION, DATA = "champion", "data"


def released(
    release: Release, before: Sequence[Release], change: Change | None, changes: Sequence[Change]
) -> list[Event]:
    """A new release, and its promotion if it became the champion at once."""
    event = Event(
        kind=CHAMPION,
        subject=release.use_case,
        who=release.released_by,
        why=release.why,
        at=release.released_at,
        details={
            "action": "release",
            "before": {"version": before[-1].version if before else None},
            "after": {
                "version": release.version,
                "digest": release.digest,
                "model": release.model,
                "as_of": release.as_of,
                "feature_set": release.feature_set_id,
                "figures": release.figures,
            },
        },
        id=f"{CHAMPION}:{release.use_case}:release:{release.version}",
    )
    return [event] if change is None else [event, changed(change, [*before, release], changes)]


def changed(change: Change, releases: Sequence[Release], before: Sequence[Change]) -> Event:
    """A move of an alias, with what was in use before and after it."""
    return Event(
        kind=CHAMPION,
        subject=change.use_case,
        who=change.changed_by,
        why=change.why,
        at=change.changed_at,
        details={
            "action": change.action,
            "version": change.version,
            "before": _in_use(deployed(releases, before)),
            "after": _in_use(deployed(releases, [*before, change])),
        },
        id=f"{CHAMPION}:{change.use_case}:change:{change.number}",
    )


def committed(use_case: str, manifest: "Manifest", replaces: str, *, who: str, why: str) -> Event:
    """A delivery that was committed, took the place of batch `replaces` (empty: of none), or was refused."""
    action = "refused" if manifest.status == "refused" else "replaced" if replaces else "committed"
    return Event(
        kind=DATA,
        subject=f"{use_case}/{manifest.data_set}/{manifest.partition}",
        who=who,
        why=why,
        at=manifest.received_at,
        details={
            "action": action,
            "before": {"batch": replaces} if replaces else None,
            "after": {
                "batch": manifest.batch_id,
                "status": manifest.status,
                "rows": manifest.rows,
                "quarantined": manifest.rejected,
                "sha256": manifest.sha256,
                "source": manifest.source,
                **({"reason": manifest.reason} if manifest.reason else {}),
            },
        },
        id=event_id(use_case, manifest.batch_id, manifest.received_at),
    )


def event_id(use_case: str, batch_id: str, received_at: datetime) -> str:
    """The name of the commit of a batch; the same batch may be committed again after another one."""
    return f"{DATA}:{use_case}:{batch_id}:{received_at:%Y%m%dT%H%M%S.%f}"


def _in_use(present: Deployment | None) -> dict[str, Any] | None:
    if present is None:
        return None
    return {
        "champion": present.champion.version,
        "canary": present.canary.version if present.canary else None,
        "share": present.share,
        "shadow": present.shadow.version if present.shadow else None,
    }
