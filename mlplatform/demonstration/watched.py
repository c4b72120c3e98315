"""What became of the loop, read from where the platform keeps it: how far ingestion is, who was taken back.

It must not change anything.
"""

import time
from contextlib import ExitStack, closing
from datetime import datetime
from typing import NamedTuple

from mlplatform.crosscutting.settings import Settings
from mlplatform.demonstration.past import FLIGHTS
from mlplatform.offline.declared import Declared
from mlplatform.offline.instance import instance_of
from mlplatform.stages.deployment.alias import Change
from mlplatform.stages.deployment.release import Release
from mlplatform.stores.champions import ChampionStore
from mlplatform.stores.lake import Lake

OBSERVED = "observed"
EVERY = 1.0
"""Seconds between two looks."""
_OVER = ("SUCCESS", "FAILURE", "CANCELED")


class Seen(NamedTuple):
    """What a look found."""

    ingested: str
    """The newest day whose flights are in the lake."""
    joined: str
    """The newest day whose answers monitoring has looked at; empty if none."""
    changes: tuple[Change, ...]
    """Of the deployment, the oldest first."""
    releases: tuple[Release, ...]
    """Version 1 first."""

    @property
    def rollbacks(self) -> list[Change]:
        """Those that monitoring did."""
        return [each for each in self.changes if by_itself(each) and each.action == "rollback"]


class Watch:
    """Looks at a deployment; its stores are opened once, for opening costs more than a look. `close` it."""

    def __init__(self, declared: Declared, settings: Settings) -> None:
        self._declared = declared
        with ExitStack() as stack:
            self._lake = stack.enter_context(closing(Lake.from_settings(settings)))
            self._store = stack.enter_context(closing(ChampionStore(settings.state_url)))
            self._instance = stack.enter_context(instance_of(settings))
            self.close = stack.pop_all().close
            """Close the stores."""
        self._seen, self._at = self._look(), time.monotonic()

    def look(self) -> Seen:
        """What there is; up to `EVERY` seconds old."""
        if time.monotonic() - self._at >= EVERY:
            self._seen, self._at = self._look(), time.monotonic()
        return self._seen

    def at_work(self) -> int:
        """Runs of Dagster that are queued or not over, among the newest."""
        return sum(run.status.value not in _OVER for run in self._instance.get_runs(limit=50))

    def stored(self, table: str) -> int:
        """Rows of a table of the lake; 0 if it is not there yet."""
        wanted = self._declared.table(table)
        return self._lake.row_count(wanted) if self._lake.exists(wanted) else 0

    def _look(self) -> Seen:
        name = self._declared.name
        ingested = self._lake.partitions(self._declared.table(FLIGHTS))[-1]
        joined = self._lake.partitions(self._declared.table(OBSERVED))  # none where there is no table yet
        return Seen(
            ingested, joined[-1] if joined else "", self._store.changes(name), self._store.history(name)
        )


def by_itself(change: Change) -> bool:
    """Whether monitoring did it, and no person."""
    return change.changed_by.startswith("monitoring")


def when(changes: tuple[Change, ...], version: int, before: datetime) -> Change:
    """The promotion of a version, the last one before a moment."""
    found = [c for c in changes if c.action == "promote" and c.version == version and c.changed_at <= before]
    return found[-1]
