"""What a deployment holds as evidence, read from its stores: check results, tables, releases, proofs.

Whatever is absent (no home, no table, no result yet) reads as none; it must not make, run or change anything.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import polars as pl
from dagster import AssetCheckKey, AssetRecordsFilter, DagsterInstance
from dagster._core.storage.asset_check_execution_record import (
    COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES as OVER,
)

from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import NotFound, StoreError
from mlplatform.offline.assets._shared import key
from mlplatform.offline.declared import Declared
from mlplatform.offline.run import instance_of
from mlplatform.stages.deployment.alias import Change, Deployment
from mlplatform.stages.deployment.release import Release
from mlplatform.stages.training.candidate import Candidate
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.champions import ChampionStore
from mlplatform.stores.lake import Lake
from mlplatform.stores.proofs import Proof, ProofStore

LOOKED_BACK = 50
"""Results of a check that are looked at for one that says something."""
Figures = dict[str, Any]


@dataclass(frozen=True)
class Checked:
    """One result of an asset check."""

    asset: str
    name: str
    passed: bool
    at: datetime
    figures: Figures

    @property
    def title(self) -> str:
        """As it is called in the Dagster UI: the asset, then the check."""
        return f"{self.asset}: {self.name}"


class Home:
    """The evidence of one use case; make it with `opened`."""

    def __init__(
        self,
        declared: Declared,
        settings: Settings,
        now: datetime,
        lake: Lake,
        stack: ExitStack,
    ) -> None:
        self.declared, self.settings, self.now = declared, settings, now
        self.lake, self._stack = lake, stack

    @cached_property
    def instance(self) -> DagsterInstance | None:
        """Dagster's records; None as long as nothing ever ran."""
        if not (self.settings.dagster_home / "dagster.yaml").exists():
            return None
        return self._stack.enter_context(instance_of(self.settings))

    def fresh(self, at: datetime) -> bool:
        """Whether a result of that time still counts."""
        return self.now - at <= timedelta(days=self.settings.proof_days)

    def check(
        self, asset: str, name: str, says: Callable[[Figures], bool] = lambda figures: True
    ) -> Checked | None:
        """The newest result of a check, or the newest whose figures say something."""
        if self.instance is None:
            return None
        records = self.instance.event_log_storage.get_asset_check_execution_history(
            AssetCheckKey(key(self.declared, asset), name), limit=LOOKED_BACK, status=set(OVER)
        )
        for record in records:
            told = record.evaluation
            if told is None:
                continue
            figures = {label: value.value for label, value in told.metadata.items()}
            if says(figures):
                at = datetime.fromtimestamp(record.create_timestamp, UTC)
                return Checked(asset, name, told.passed, at, figures)
        return None

    def rows(self, table: str, partition: str = "") -> pl.DataFrame | None:
        """A small table, or one of its partitions; None if there are no rows."""
        name = self.declared.table(table)
        if not self.lake.exists(name):
            return None
        found = self.lake.read(name, partitions=[partition] if partition else None)
        return found if found.height else None

    def newest(self, table: str) -> pl.DataFrame | None:
        """The rows of a table's newest partition; None if there are none."""
        name = self.declared.table(table)
        keys = self.lake.partitions(name) if self.lake.exists(name) else []
        return self.rows(table, keys[-1]) if keys else None

    def read(self, table: str, *columns: str) -> pl.DataFrame | None:
        """Columns of a table that may be large; None where there is no table, or it lacks one of them."""
        name = self.declared.table(table)
        try:
            return self.lake.read(name, columns=columns)
        except NotFound:
            return None

    @cached_property
    def proofs(self) -> tuple[Proof, ...]:
        """What commands kept, the oldest first."""
        if not self.settings.state_file_exists():
            return ()
        with closing(ProofStore(self.settings.state_url)) as store:
            return store.all(self.declared.name)

    @cached_property
    def _deployed(self) -> tuple[Deployment | None, tuple[Release, ...], tuple[Change, ...]]:
        if not self.settings.state_file_exists():
            return None, (), ()
        name = self.declared.name
        with closing(ChampionStore(self.settings.state_url)) as store:
            return store.deployment(name), store.history(name), store.changes(name)

    @property
    def champion(self) -> Release | None:
        """The release that answers; None before the first."""
        present = self._deployed[0]
        return present.champion if present else None

    @property
    def changes(self) -> tuple[Change, ...]:
        """Every change of what is in use, the oldest first."""
        return self._deployed[2]

    @property
    def releases(self) -> tuple[Release, ...]:
        """Every release, version 1 first."""
        return self._deployed[1]

    def candidate(self, digest: str) -> Candidate | None:
        """A trained model; None if it is not in the store any more, or is damaged."""
        try:
            return CandidateStore(self.settings.candidates).get(self.declared.name, digest)
        except StoreError:
            return None

    def made(self, asset: str, partition: str = "") -> datetime | None:
        """When an asset, or one of its partitions, was last made; None if it never was."""
        found = self.makings(asset, partition, most=1)
        return found[0][0] if found else None

    def makings(
        self, asset: str, partition: str = "", most: int = LOOKED_BACK
    ) -> list[tuple[datetime, Figures]]:
        """The newest times an asset was made, the latest first, each with its metadata."""
        if self.instance is None:
            return []
        wanted = AssetRecordsFilter(
            asset_key=key(self.declared, asset), asset_partitions=[partition] if partition else None
        )
        found = []
        for record in self.instance.fetch_materializations(wanted, limit=most).records:
            told = record.asset_materialization
            figures = {label: value.value for label, value in told.metadata.items()} if told else {}
            found.append((datetime.fromtimestamp(record.timestamp, UTC), figures))
        return found

    def evaluated(self, model: str, as_of: str, part: str, digest: str = "") -> dict[str, float]:
        """Figures of a date's candidate on a part of its split; empty if it (or that digest) has none."""
        rows = self.rows(f"evaluation_{model}", as_of)
        if rows is None:
            return {}
        mine = rows.filter(pl.col("part") == part, pl.lit(not digest) | (pl.col("digest") == digest))
        return dict(mine.select("figure", "value").iter_rows())


@contextmanager
def opened(declared: Declared, settings: Settings, now: datetime) -> Iterator[Home]:
    """The evidence of a use case; without a home there is none, and none is made."""
    with ExitStack() as stack:
        lake = stack.enter_context(closing(Lake.from_settings(settings)))
        yield Home(declared, settings, now, lake, stack)
