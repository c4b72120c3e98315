"""The audit of configuration: which declaration was loaded, whenever it is another than the one before.

It must not change a declaration, nor import Dagster.
"""

from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from mlplatform.crosscutting.settings import Settings
from mlplatform.crosscutting.whoami import person
from mlplatform.offline.declared import Declared
from mlplatform.stages.monitoring.audit import Entry
from mlplatform.stages.training.candidate import sums
from mlplatform.stores.audit import opened

KIND = "configuration"


def record(declared: Declared, settings: Settings, *, why: str) -> Entry | None:
    """Record the declaration of a use case, unless the newest entry tells of the same one.

    Its hash is that of `sha256sum` lines of defs.yaml and of every Python file of the folder; the entry has
    the validated configuration, and what of it is other than before.

    Returns
    -------
    Entry
        the new one; None if nothing is new.

    Raises
    ------
    StoreError
        if the audit cannot be written, or a file cannot be read.
    """
    files = {name: path.read_bytes() for name, path in _files(declared.folder)}
    now = {
        "hash": sha256(sums(files).encode()).hexdigest(),
        "files": {name: sha256(content).hexdigest() for name, content in sorted(files.items())},
        "feature_set": declared.feature_set.id,
        "attributes": declared.config.model_dump(mode="json"),
    }
    with opened(settings) as log:
        last = log.latest(KIND, declared.name)
        before = msgspec.json.decode(last.details)["after"] if last else None
        if before and before["hash"] == now["hash"]:
            return None
        return log.record(
            KIND,
            declared.name,
            who=person(),
            why=why,
            details={"before": _short(before), "after": now, "changed": _changed(before, now)},
            # Processes that load it at once have seen the same entry before: they record it once.
            id=f"{KIND}:{declared.name}:{last.number if last else 0}:{now['hash']}",
        )


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted([folder / "defs.yaml", *folder.rglob("*.py")]):
        name = path.relative_to(folder)
        if not any(part.startswith(".") or part == "__pycache__" for part in name.parts):
            yield name.as_posix(), path


def _short(told: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if told is None else {name: told[name] for name in ("hash", "files", "feature_set")}


def _changed(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Keys of defs.yaml with another value, and files with other content; of a first declaration none."""
    if before is None:
        return []
    old = _flat(before["attributes"]) | {f"file {name}": sha for name, sha in before["files"].items()}
    new = _flat(msgspec.json.decode(msgspec.json.encode(now["attributes"])))
    new |= {f"file {name}": sha for name, sha in now["files"].items()}
    keys = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
    return [{"key": key, "before": old.get(key), "after": new.get(key)} for key in keys]


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Values by their dotted keys; lists are values."""
    if not isinstance(value, dict) or not value:
        return {path: value}
    found: dict[str, Any] = {}
    for name, inner in value.items():
        found |= _flat(inner, f"{path}.{name}" if path else str(name))
    return found
