"""The Raw Data Store: the bytes of every delivery, untouched, and the manifest by which each is found.

Bytes are content-addressed, write-once files. A batch is one delivery of one partition; its manifest, its
typed rows and its rejected rows are committed to the lake together, and that commit is what makes it exist.
The same content again is the same batch, so saving it twice changes nothing. It must not parse, nor know a
source.
"""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import msgspec
import polars as pl

from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import NotFound, StoreError
from mlplatform.stores.batches import BATCHES, Batch, Kept, Manifest, after, key_of, writes
from mlplatform.stores.lake import Lake, Table, sync_path

CHUNK = 1 << 20
Step = Callable[[str], None]


class Auditor(Protocol):
    """Is told of commits: of each batch, and the id of the one it took the place of (empty: of none)."""

    def before(self, use_case: str, commits: Sequence[tuple[Manifest, str]]) -> None:
        """Manifests that are there are about to be overwritten."""

    def after(self, use_case: str, commits: Sequence[tuple[Manifest, str]]) -> None:
        """Batches were committed; it must not raise."""


class RawStore:
    """Deliveries of a deployment: files below one folder, tables `batches` and `quarantine` of each use case.

    Parameters
    ----------
    folder : where the bytes are kept.
    lake : where manifests and typed rows are committed.
    step : told the name of each step before it is taken; tests stop the process there.
    sync : makes a new file or a changed folder durable.
    audit : is told of every commit.
    """

    def __init__(
        self,
        folder: Path,
        lake: Lake,
        *,
        step: Step = lambda name: None,
        sync: Callable[[Path], None] = sync_path,
        audit: Auditor | None = None,
    ) -> None:
        self._folder, self._lake, self._step, self._sync = Path(folder).absolute(), lake, step, sync
        self._audit = audit

    @classmethod
    def from_settings(cls, settings: Settings, lake: Lake) -> "RawStore":
        """The store of a deployment."""
        return cls(settings.raw, lake)

    def keep(self, content: Path | Iterable[bytes]) -> Kept:
        """Keep bytes, untouched and durable, in memory for one chunk only; the same bytes are kept once.

        Raises
        ------
        StoreError
            if the disk refuses, or the file cannot be read.
        """
        try:
            with _chunks(content) as chunks:
                return self._kept(chunks)
        except OSError as error:
            raise StoreError(
                f"a delivery cannot be kept below {self._folder}: {error}.",
                hint="Check free space and permissions; nothing of it was saved.",
            ) from error

    def path(self, sha: str) -> Path:
        """The file that holds the bytes of this SHA-256; it must not be changed.

        Raises
        ------
        NotFound
            if no such bytes were kept.
        """
        path = self._place(sha)
        if not path.exists():
            raise NotFound(
                f"no delivery with SHA-256 {sha!r} is kept.", hint="`mlplatform batches` lists all."
            )
        return path

    def commit(self, use_case: str, batches: Sequence[Batch]) -> list[Manifest]:
        """Make batches exist, all in one transaction; those that are served already are left out.

        A batch takes the place of its partition's rows (without `partition_key` in its rows: of all rows of
        its data set), so there is at most one of a partition. A refused one leaves only its manifest: what
        was served stays. Returns the manifests that were committed; if the clock went back, `received_at` of
        one is just after that of the batch it replaces.

        Raises
        ------
        SchemaMismatch, StoreError
            as `Lake.write_all`; nothing was changed.
        """
        served = self._served(use_case, batches)
        new, commits = list[Batch](), list[tuple[Manifest, str]]()
        for batch in batches:
            before, received_at = served.get((batch.manifest.data_set, batch.manifest.partition), ("", None))
            if batch.manifest.status == "refused" or received_at is None:
                new.append(batch)
            elif before != batch.manifest.batch_id:
                new.append(after(batch, received_at))
            else:
                continue
            commits.append((new[-1].manifest, "" if batch.manifest.status == "refused" else before))
        if new:
            if self._audit is not None:
                self._audit.before(use_case, self._overwritten(use_case, new))
            self._step("before the commit")
            self._lake.write_all(writes(use_case, new))
            self._step("after the commit")
            if self._audit is not None:
                self._audit.after(use_case, commits)
        return [batch.manifest for batch in new]

    def manifests(self, use_case: str, data_set: str | None = None) -> list[Manifest]:
        """Manifests in the order of arrival, refused deliveries among them; none where there is no lake."""
        table = Table(use_case, BATCHES)
        if not self._lake.exists(table):
            return []
        rows = self._lake.read(table).sort("received_at", "batch_id")
        if data_set is not None:
            rows = rows.filter(data_set=data_set)
        newest = {
            (row["data_set"], row["partition"]): row["batch_id"]
            for row in rows.filter(status="accepted").iter_rows(named=True)
        }
        return [
            msgspec.convert(
                {
                    **row,
                    "current": row["status"] == "accepted"
                    and newest[(row["data_set"], row["partition"])] == row["batch_id"],
                },
                Manifest,
            )
            for row in rows.drop("partition_key").iter_rows(named=True)
        ]

    def _overwritten(self, use_case: str, new: Sequence[Batch]) -> list[tuple[Manifest, str]]:
        """Manifests that are there under the names of new ones: of content that was delivered before."""
        table = Table(use_case, BATCHES)
        if not self._lake.exists(table):
            return []
        rows = self._lake.read(table, partitions=[key_of(batch.manifest) for batch in new])
        found = [msgspec.convert(row, Manifest) for row in rows.drop("partition_key").iter_rows(named=True)]
        return [(manifest, "") for manifest in found]

    def _served(
        self, use_case: str, batches: Sequence[Batch]
    ) -> dict[tuple[str, str], tuple[str, datetime | None]]:
        """Batch id and arrival of what is served of the partitions of these batches."""
        table, names = Table(use_case, BATCHES), sorted({batch.manifest.data_set for batch in batches})
        if not self._lake.exists(table):
            return {}
        columns = ["data_set", "partition", "batch_id", "received_at", "status"]
        rows = self._lake.read(table, columns=columns).filter(
            pl.col("data_set").is_in(names),
            pl.col("partition").is_in([batch.manifest.partition for batch in batches]),
            status="accepted",
        )
        newest = rows.sort("received_at", "batch_id").select(
            "data_set", "partition", "batch_id", "received_at"
        )
        return {(data_set, partition): (id, at) for data_set, partition, id, at in newest.iter_rows()}

    def _kept(self, chunks: Iterable[bytes]) -> Kept:
        self._folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._folder, prefix=".incoming-")
        digest, length = sha256(), 0
        try:
            with os.fdopen(handle, "wb") as file:
                for chunk in chunks:
                    digest.update(chunk)
                    length += len(chunk)
                    file.write(chunk)
            self._step("before the sync")
            self._sync(Path(name))
            path = self._place(digest.hexdigest())
            if not path.exists():
                path.parent.mkdir(exist_ok=True)
                self._step("before the rename")
                os.chmod(name, 0o444)
                os.replace(name, path)
                self._step("after the rename")
            # Also of a file that was there: who put it there may have been killed before this.
            for folder in (path.parent, self._folder, self._folder.parent):
                self._sync(folder)
            return Kept(digest.hexdigest(), length)
        finally:
            Path(name).unlink(missing_ok=True)

    def _place(self, sha: str) -> Path:
        if len(sha) != 64 or set(sha) - set("0123456789abcdef"):
            raise NotFound(f"{sha!r} is no SHA-256; allowed are 64 hexadecimal digits.")
        return self._folder / sha[:2] / sha


def _chunks(content: Path | Iterable[bytes]) -> AbstractContextManager[Iterable[bytes]]:
    return _file_chunks(content) if isinstance(content, Path) else nullcontext(content)


@contextmanager
def _file_chunks(path: Path) -> Iterator[Iterable[bytes]]:
    with path.open("rb") as file:
        yield iter(lambda: file.read(CHUNK), b"")
