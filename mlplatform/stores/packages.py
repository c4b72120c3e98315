"""The packages of models that may be deployed: one content-addressed folder each, written once.

`<root>/<use case>/<id>/` holds the files of a package and SHA256SUMS; the id covers every file and is
compared at each load. Files of the candidate are links to the candidate's, so they take no room twice. It
must not know what a package says, nor run what it reads.
"""

import re
import tarfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

from mlplatform.errors import NotFound, StoreError
from mlplatform.stages.training.candidate import digest, sums
from mlplatform.stores.write_once import write_folder

SUMS = "SHA256SUMS"
_USE_CASE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_ID = re.compile(r"[0-9a-f]{64}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


class PackageStore:
    """Packages below a folder, which is made at the first `put`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, use_case: str, files: Mapping[str, bytes], candidate: Path) -> str:
        """Store a package and return its id; one that is there already stays as it is.

        Parameters
        ----------
        files : every file of the package, by name
        candidate : folder of the candidate; its files are linked

        Raises
        ------
        StoreError
            for a damaged package of the same id, a name that is not allowed, or a full disk.
        """
        id = digest(files)
        target = self.folder(use_case, id)
        wrong = [name for name in files if not _FILE.fullmatch(name) or name == SUMS]
        if wrong:
            raise StoreError(f"got package files {wrong}; allowed: plain file names other than {SUMS}.")
        if target.exists():
            self.get(use_case, id)
            return id
        links = {name: candidate / name for name in files if (candidate / name).is_file()}
        own = {name: content for name, content in files.items() if name not in links}
        try:
            write_folder(target, {**own, SUMS: sums(files).encode()}, links)
        except OSError as error:
            raise StoreError(
                f"cannot write package {id[:12]} below {self._root}: {error}.",
                hint="Check free space and permissions of the packages folder.",
            ) from error
        return id

    def get(self, use_case: str, id: str) -> dict[str, bytes]:
        """The files of a package without SHA256SUMS, after every byte has been compared with its hash.

        Raises
        ------
        NotFound
            when there is none of this id.
        StoreError
            when a file is absent or differs from what was stored, or an id is not one.
        """
        folder = self.folder(use_case, id)
        if not folder.is_dir():
            raise NotFound(
                f"use case {use_case!r} has no package {id}.", hint=f"Make it: mlplatform package {use_case}."
            )
        try:
            listed = (folder / SUMS).read_bytes().decode("ascii")
            files = {name: (folder / name).read_bytes() for name in _names(listed)}
        except (OSError, ValueError) as error:
            raise _damaged(id, use_case, str(error)) from error
        if sums(files) != listed or digest(files) != id:
            wrong = [line[66:] for line in sums(files).splitlines() if line not in listed.splitlines()]
            raise _damaged(id, use_case, f"{', '.join(wrong) or SUMS} differs from what was stored")
        return files

    def export(self, use_case: str, id: str, file: Path) -> None:
        """Write a package as a tar file with one folder in it; the same package gives the same bytes.

        Raises
        ------
        NotFound, StoreError
            as `get`, or if the file cannot be written.
        """
        files = self.get(use_case, id)
        folder = f"{use_case}-{id[:12]}"
        try:
            with tarfile.open(file, "w") as archive:
                for name, content in sorted({**files, SUMS: sums(files).encode()}.items()):
                    entry = tarfile.TarInfo(f"{folder}/{name}")
                    entry.size = len(content)
                    archive.addfile(entry, BytesIO(content))
        except OSError as error:
            raise StoreError(
                f"cannot write {file}: {error}.", hint="Name a file you can write to."
            ) from error

    def list(self, use_case: str) -> list[str]:
        """Ids of the use case's packages, sorted."""
        folder = self._root / use_case
        if not folder.is_dir():
            return []
        return sorted(entry.name for entry in folder.iterdir() if _ID.fullmatch(entry.name))

    def folder(self, use_case: str, id: str) -> Path:
        """Where a package is, or would be; StoreError if the id or the name is none."""
        if not (_ID.fullmatch(id) and _USE_CASE.fullmatch(use_case)):
            raise StoreError(
                f"got package {id!r} of {use_case!r}; allowed: 64 hexadecimal digits in lower case, and the "
                "name of a use case.",
                hint="Take the id from the asset `package` or from `mlplatform package`.",
            )
        return self._root / use_case / id


def _names(listed: str) -> list[str]:
    names = [line[66:] for line in listed.splitlines()]
    if not all(_FILE.fullmatch(name) for name in names):
        raise ValueError(f"{SUMS} is damaged")
    return names


def _damaged(id: str, use_case: str, what: str) -> StoreError:
    return StoreError(
        f"package {id[:12]} of {use_case!r} is damaged: {what}.",
        hint="Do not use it; delete its folder and materialise `package` again.",
    )
