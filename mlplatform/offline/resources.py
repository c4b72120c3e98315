"""The Dagster resources: what assets are given from outside.

It must not hold logic: each resource turns configuration into an object of the rooms below.
"""

from pathlib import Path
from typing import Any

from dagster import ConfigurableResource, InitResourceContext, ResourceDependency
from dagster_duckdb import DuckDBResource
from pydantic import Field, PrivateAttr

from mlplatform.crosscutting.scoring_client import ScoringClient
from mlplatform.crosscutting.settings import Settings
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.champions import ChampionStore
from mlplatform.stores.checkpoints import FileCheckpoints
from mlplatform.stores.data_audit import DataAudit
from mlplatform.stores.lake import Lake
from mlplatform.stores.packages import PackageStore
from mlplatform.stores.raw import RawStore


class LakeResource(ConfigurableResource[Lake]):
    """The lake of a deployment, attached to connections of dagster-duckdb's DuckDBResource."""

    catalog: str = Field(description="SQLite file of the lake's catalogue.")
    data: str = Field(description="Folder of the lake's Parquet files.")
    duckdb_config: dict[str, Any] = Field(
        default={}, description="DuckDB's settings for the connections, such as threads or memory_limit."
    )
    _lake: Lake | None = PrivateAttr(default=None)

    @classmethod
    def from_settings(cls, settings: Settings) -> "LakeResource":
        """The resource of a deployment."""
        return cls(catalog=str(settings.lake_catalog), data=str(settings.lake_data))

    def lake(self) -> Lake:
        """The lake, connected at its first use and kept for the steps of this run."""
        if self._lake is None:
            duckdb = DuckDBResource(database=":memory:", connection_config=self.duckdb_config)
            self._lake = Lake(Path(self.catalog), Path(self.data), duckdb.get_connection)
        return self._lake

    def teardown_after_execution(self, context: InitResourceContext) -> None:
        """Close the lake's connections at the end of the run."""
        if self._lake is not None:
            self._lake.close()


class RawResource(ConfigurableResource[RawStore]):
    """The Raw Data Store of a deployment: files in a folder, manifests and rows in the lake."""

    folder: str = Field(description="Folder of the delivered bytes.")
    lake: ResourceDependency[LakeResource]
    audit: str = Field(default="", description="SQLAlchemy URL of the audit of commits; empty: none.")

    def store(self) -> RawStore:
        """The store, on the lake of this run."""
        auditor = DataAudit(self.audit) if self.audit else None
        return RawStore(Path(self.folder), self.lake.lake(), audit=auditor)


class CandidatesResource(ConfigurableResource[CandidateStore]):
    """The Model Candidate Data Store of a deployment."""

    folder: str = Field(description="Folder of the candidates.")

    def store(self) -> CandidateStore:
        """The store."""
        return CandidateStore(Path(self.folder))


class PackagesResource(ConfigurableResource[PackageStore]):
    """The packages of models of a deployment."""

    folder: str = Field(description="Folder of the packages.")

    def store(self) -> PackageStore:
        """The store."""
        return PackageStore(Path(self.folder))


class CheckpointsResource(ConfigurableResource[FileCheckpoints]):
    """Checkpoints of trainings that are not over."""

    folder: str = Field(description="Folder of the checkpoints.")

    def of(self, use_case: str, model: str, as_of: str) -> FileCheckpoints:
        """Those of one candidate."""
        return FileCheckpoints(Path(self.folder) / use_case / model / as_of)


class ChampionsResource(ConfigurableResource[ChampionStore]):
    """The history of champions of a deployment."""

    url: str = Field(description="SQLAlchemy URL of small relational state.")
    _store: ChampionStore | None = PrivateAttr(default=None)

    def store(self) -> ChampionStore:
        """The store, connected at its first use and kept for the steps of this run."""
        if self._store is None:
            self._store = ChampionStore(self.url)
        return self._store

    def teardown_after_execution(self, context: InitResourceContext) -> None:
        """Close the connections at the end of the run."""
        if self._store is not None:
            self._store.close()


class ScoringService(ConfigurableResource[ScoringClient]):
    """The online scoring service as Dagster sees it: an address that can be asked."""

    url: str = Field(description="Base URL of the service.")

    def client(self) -> ScoringClient:
        """A client of the service; its key is no field, since the UI shows those."""
        return ScoringClient(self.url, key=Settings.load().access.key)
