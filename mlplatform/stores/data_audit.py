"""The audit of data: an entry for every batch that was committed, replaced another, or was refused.

A batch exists once the lake has its manifest, which is another database than the audit's. So the lake
decides, and the audit follows: a commit is recorded right after it, under a name derived from it, and what a
process that was killed in between did not record is derived from the manifests later. Nothing is lost, and
nothing is there twice. It must not commit a batch.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing

from mlplatform.crosscutting.settings import Settings
from mlplatform.crosscutting.whoami import person
from mlplatform.errors import NotFound, StoreError
from mlplatform.stages.monitoring.audit import Event
from mlplatform.stores.audit import AuditLog
from mlplatform.stores.audited import committed, event_id
from mlplatform.stores.batches import BATCHES, Manifest
from mlplatform.stores.lake import Lake
from mlplatform.stores.raw import RawStore

_LOG = logging.getLogger(__name__)
Commit = tuple[Manifest, str]
"""A batch, and the id of the one whose place it took (empty: of none)."""
LATE = "ingestion"
"""Who committed a batch whose process ended before it could say so."""


class DataAudit:
    """Records commits of batches; what `RawStore` tells of them."""

    def __init__(self, url: str) -> None:
        self._url = url

    def before(self, use_case: str, commits: Sequence[Commit]) -> None:
        """These are there, and their manifests are about to be overwritten: record them if they are not yet.

        Raises
        ------
        StoreError
            if the audit cannot be written; then nothing may be overwritten.
        """
        if not commits:
            return
        with closing(AuditLog(self._url)) as log:
            _record(log, use_case, commits, LATE)

    def after(self, use_case: str, commits: Sequence[Commit]) -> None:
        """These were committed just now by this process; never raises, as `catch_up` can do it later."""
        try:
            with closing(AuditLog(self._url)) as log:
                _record(log, use_case, commits, person())
        except StoreError as error:
            _LOG.warning("%d batches of %s are recorded later: %s", len(commits), use_case, error)


def catch_up(settings: Settings) -> int:
    """Record every batch in the lake that is not recorded; how many those were. Without a lake: none.

    Raises
    ------
    StoreError
        if the lake cannot be read, or the audit cannot be written.
    """
    if not settings.lake_catalog.exists():
        return 0
    with closing(Lake.from_settings(settings)) as lake, closing(AuditLog.from_settings(settings)) as log:
        store = RawStore.from_settings(settings, lake)
        try:
            names = _with_batches(lake)
        except NotFound:  # a process that was killed while it made the lake left an empty catalogue
            return 0
        return sum(_record(log, name, list(history(store.manifests(name))), LATE) for name in names)


def history(manifests: Sequence[Manifest]) -> Iterator[Commit]:
    """Manifests in the order of their arrival, each with the id of the batch it took the place of."""
    served: dict[tuple[str, str], str] = {}
    for manifest in manifests:
        place = (manifest.data_set, manifest.partition)
        if manifest.status == "refused":
            yield manifest, ""
            continue
        yield manifest, served.get(place, "")
        served[place] = manifest.batch_id


def _record(log: AuditLog, use_case: str, commits: Sequence[Commit], who: str) -> int:
    ids = [event_id(use_case, manifest.batch_id, manifest.received_at) for manifest, _ in commits]
    known = log.known(ids) if who == LATE else set()
    new = [
        _event(use_case, manifest, replaces, who)
        for (manifest, replaces), id in zip(commits, ids, strict=True)
        if id not in known
    ]
    log.record_all(new)
    return len(new)


def _event(use_case: str, manifest: Manifest, replaces: str, who: str) -> Event:
    why = f"announced by message {manifest.message_id}" if manifest.message_id else "delivered by its source"
    return committed(use_case, manifest, replaces, who=who, why=why)


def _with_batches(lake: Lake) -> list[str]:
    found = lake.sql("SELECT DISTINCT schema_name FROM duckdb_tables() WHERE table_name = ?", [BATCHES])
    return sorted(found["schema_name"].to_list())
