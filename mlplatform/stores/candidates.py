"""The Model Candidate Data Store: one content-addressed folder per candidate, written once.

`<root>/<use case>/<digest>/` holds the candidate's files and SHA256SUMS. The digest in the folder's name
covers the files that decide a score, SHA256SUMS every file; all are compared at each load. It must not change
a folder that exists, nor run what it reads: files are JSON or text, never pickles.
"""

import re
from pathlib import Path

import msgspec

from mlplatform.errors import NotFound, StoreError
from mlplatform.stages.training.candidate import METADATA, OWN, Candidate, digest, of_files, sums
from mlplatform.stores.write_once import write_folder

_USE_CASE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_SUMS = "SHA256SUMS"
_OWN = (*OWN, _SUMS)


class CandidateStore:
    """Candidates below a folder, which is made at the first `put`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def root(self) -> Path:
        """The folder."""
        return self._root

    def put(self, candidate: Candidate) -> str:
        """Store a candidate and return its digest; one that is there already stays as it is.

        When this returns, the candidate is on disk; when it does not, nobody sees a part of it.

        Raises
        ------
        StoreError
            for a name that is not allowed, a damaged candidate of the same digest, or a full disk.
        """
        name = candidate.digest
        target = self.folder(candidate.use_case, name)
        _check_names(candidate)
        if target.exists():
            self.get(candidate.use_case, name)
            return name
        files = candidate.deciding_files() | {METADATA: msgspec.json.encode(candidate.metadata)}
        files[_SUMS] = sums(files).encode()
        try:
            write_folder(target, files)
        except OSError as error:
            raise StoreError(
                f"cannot write candidate {name[:12]} below {self._root}: {error}.",
                hint="Check free space and permissions of the candidates folder.",
            ) from error
        return name

    def get(self, use_case: str, digest: str) -> Candidate:
        """The candidate, after every byte has been compared with its hash.

        Raises
        ------
        NotFound
            when there is none of this digest.
        StoreError
            when a file is absent or differs from what was stored, or an id is not one.
        """
        files = self.files(use_case, digest)
        try:
            candidate = of_files(files)
        except msgspec.DecodeError as error:
            raise StoreError(
                f"candidate {digest[:12]} of {use_case!r} is of a format unknown to this version: {error}.",
                hint="Read it with the version that wrote it, or train again.",
            ) from error
        if candidate.use_case != use_case:
            raise _damaged(digest, use_case, f"it belongs to {candidate.use_case!r}")
        return candidate

    def files(self, use_case: str, digest: str) -> dict[str, bytes]:
        """The files of a candidate without SHA256SUMS, compared as `get` does.

        Raises
        ------
        NotFound, StoreError
            as `get`.
        """
        folder = self.folder(use_case, digest)
        if not folder.is_dir():
            raise NotFound(
                f"use case {use_case!r} has no candidate {digest}; it has {len(self.list(use_case))} others.",
                hint="Materialise the candidate again, or name one that `list` gives.",
            )
        return _verified(folder, use_case, digest)

    def list(self, use_case: str) -> list[str]:
        """Digests of the use case's candidates, sorted."""
        folder = self._root / _use_case(use_case)
        if not folder.is_dir():
            return []
        return sorted(entry.name for entry in folder.iterdir() if _DIGEST.fullmatch(entry.name))

    def folder(self, use_case: str, digest: str) -> Path:
        """Where a candidate's files are, or would be; not to be changed.

        Raises
        ------
        StoreError
            if the digest or the name is none.
        """
        if not _DIGEST.fullmatch(digest):
            raise StoreError(
                f"got candidate id {digest!r}; allowed: 64 hexadecimal digits in lower case.",
                hint="Take the digest from the candidate asset or from `mlplatform status`.",
            )
        return self._root / _use_case(use_case) / digest


def _use_case(name: str) -> str:
    if not _USE_CASE.fullmatch(name):
        raise StoreError(
            f"got use case {name!r}; allowed: lower-case letters, digits and underscores.",
            hint="A use case is named after its folder.",
        )
    return name


def _check_names(candidate: Candidate) -> None:
    wrong = [name for name in candidate.model_files if not _FILE.fullmatch(name) or name in _OWN]
    if wrong:
        raise StoreError(
            f"got model files {wrong}; allowed: plain file names other than {', '.join(_OWN)}.",
            hint="Name the model's files model.json or model.txt.",
        )


def _verified(folder: Path, use_case: str, name: str) -> dict[str, bytes]:
    """The folder's files without SHA256SUMS; StoreError unless they are, byte for byte, what was stored."""
    try:
        listed = (folder / _SUMS).read_bytes().decode("ascii")
        names = [line[66:] for line in listed.splitlines()]
        if not all(_FILE.fullmatch(each) for each in names):
            raise ValueError(f"{_SUMS} is damaged")
        files = {each: (folder / each).read_bytes() for each in names}
    except (OSError, ValueError) as error:
        raise _damaged(name, use_case, str(error)) from error
    deciding = {each: content for each, content in files.items() if each != METADATA}
    if sums(files) != listed or digest(deciding) != name:
        wrong = [line[66:] for line in sums(files).splitlines() if line not in listed.splitlines()]
        raise _damaged(name, use_case, f"{', '.join(wrong) or _SUMS} differs from what was stored")
    if METADATA not in files:
        raise _damaged(name, use_case, f"{METADATA} is absent")
    return files


def _damaged(name: str, use_case: str, what: str) -> StoreError:
    return StoreError(
        f"candidate {name[:12]} of {use_case!r} is damaged: {what}.",
        hint="Do not use it; delete its folder and materialise the candidate again.",
    )
