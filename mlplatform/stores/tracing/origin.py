"""What is known of a use case apart from its rows, each read once: releases, candidates, batches, files.

It must not look for rows of data.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any, TypeVar

import polars as pl

from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import MlplatformError, NotFound
from mlplatform.stages.deployment.alias import Change
from mlplatform.stages.deployment.release import Release
from mlplatform.stages.preparation.fitted import FittedFeatureSet
from mlplatform.stages.training.candidate import Candidate, open_model
from mlplatform.stages.training.contract import Floats
from mlplatform.stores.batches import Manifest
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.champions import ChampionStore
from mlplatform.stores.lake import KEY, Lake, Table
from mlplatform.stores.raw import CHUNK, RawStore
from mlplatform.stores.tracing.published import published

T = TypeVar("T")
JUDGED = ["partition_key", "model", "digest", "part", "figure", "value", "low", "high"]


@dataclass
class Trained:
    """A stored candidate, whole: every byte was compared with its hash."""

    candidate: Candidate
    fitted: FittedFeatureSet

    @cached_property
    def predict(self) -> Callable[[Floats], Floats] | None:
        """Scores rows; None where the model cannot be opened here."""
        try:
            return open_model(self.candidate).predict
        except MlplatformError:
            return None


@dataclass
class Origin:
    """One use case; what is asked for twice is read once."""

    use_case: str
    lake: Lake
    settings: Settings
    reads: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Data set → the others that its cleaning reads, as declared; empty where no declaration is at hand."""
    _trained: dict[str, Trained | str] = field(default_factory=dict)
    _figures: dict[str, pl.DataFrame] = field(default_factory=dict)
    _splits: dict[str, pl.DataFrame | None] = field(default_factory=dict)
    _parts: dict[str, dict[tuple[Any, ...], str]] = field(default_factory=dict)
    _files: dict[str, dict[str, Any]] = field(default_factory=dict)
    _columns: dict[str, list[str]] = field(default_factory=dict)
    _kept: dict[Any, Any] = field(default_factory=dict)

    def table(self, name: str) -> Table:
        """A table of the use case."""
        return Table(self.use_case, name)

    def once(self, key: Any, make: Callable[[], T]) -> T:
        """What `make` gives, made once for this key."""
        if key not in self._kept:
            self._kept[key] = make()
        found: T = self._kept[key]
        return found

    def columns(self, name: str) -> list[str]:
        """Columns of a table; none where it does not exist."""
        if name not in self._columns:
            there = self.lake.exists(self.table(name))
            query = f'SELECT * FROM "{self.use_case}"."{name}" LIMIT 0'
            self._columns[name] = self.lake.sql(query).columns if there else []
        return self._columns[name]

    @cached_property
    def history(self) -> tuple[dict[int, Release], tuple[Change, ...]]:
        """Releases by version, and every change of the aliases; none where there is no state yet."""
        if not self.settings.state_file_exists():
            return {}, ()
        with closing(ChampionStore(self.settings.state_url)) as store:
            releases = {release.version: release for release in store.history(self.use_case)}
            return releases, store.changes(self.use_case)

    @cached_property
    def manifests(self) -> dict[str, Manifest]:
        """Batches by their ids."""
        store = RawStore.from_settings(self.settings, self.lake)
        return {manifest.batch_id: manifest for manifest in store.manifests(self.use_case)}

    @cached_property
    def current(self) -> dict[tuple[str, str], str]:
        """Data set and partition → the batch that is served of it."""
        return {(m.data_set, m.partition): m.batch_id for m in self.manifests.values() if m.current}

    @cached_property
    def streams(self) -> dict[str, dict[str, str]]:
        """Of each stream, which type of event is a row of which source; as published to the services."""
        return published(self.settings.home, self.use_case).streams

    def trained(self, digest: str) -> Trained | str:
        """The candidate of this digest, or why there is none."""
        if digest not in self._trained:
            self._trained[digest] = self._open(digest)
        return self._trained[digest]

    def figures(self, model: str, digest: str) -> pl.DataFrame:
        """Rows of a candidate's evaluation (`JUDGED`); none where it was not judged, or is not kept."""
        name = f"evaluation_{model}"
        if name not in self._figures:
            there = set(JUDGED) <= set(self.columns(name))
            empty = pl.DataFrame(schema=dict.fromkeys(JUDGED, pl.String))
            self._figures[name] = self.lake.read(self.table(name), columns=JUDGED) if there else empty
        return self._figures[name].filter(pl.col("digest") == digest)

    def split(self, as_of: str) -> pl.DataFrame | None:
        """The split as of a date, a row per labelled question; None where it is not kept."""
        if as_of not in self._splits:
            there = self.columns("split")
            rows = self.lake.read(self.table("split"), partitions=[as_of]) if there else None
            self._splits[as_of] = rows if rows is not None and rows.height else None
        return self._splits[as_of]

    def parts(self, as_of: str, key: Sequence[str]) -> dict[tuple[Any, ...], str]:
        """Part of the split as of a date by the key of the question; empty where it is not kept."""
        if as_of not in self._parts:
            rows = self.split(as_of)
            found = {} if rows is None else dict(zip(rows.select(key).iter_rows(), rows["part"], strict=True))
            self._parts[as_of] = found
        return self._parts[as_of]

    def whole(self, data_set: str) -> bool:
        """Whether a data set has no partitions."""
        return KEY not in self.columns(f"raw_{data_set}")

    def file(self, sha: str) -> dict[str, Any]:
        """An original file: whether it is kept, and still has the bytes of its name."""
        if sha not in self._files:
            self._files[sha] = self._looked_at(sha)
        return self._files[sha]

    def _open(self, digest: str) -> Trained | str:
        try:
            candidate = CandidateStore(self.settings.candidates).get(self.use_case, digest)
            return Trained(candidate, FittedFeatureSet.from_json(candidate.feature_set))
        except MlplatformError as error:
            return str(error)

    def _looked_at(self, sha: str) -> dict[str, Any]:
        try:
            path = RawStore.from_settings(self.settings, self.lake).path(sha)
        except NotFound:
            return {"sha256": sha, "kept": False, "intact": False}
        digest, length = sha256(), 0
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                length += len(chunk)
        intact = digest.hexdigest() == sha
        return {"sha256": sha, "kept": True, "intact": intact, "bytes": length, "path": str(path)}
