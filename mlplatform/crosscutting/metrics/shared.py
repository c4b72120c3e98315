"""Several processes behind one port, told of as one by whichever of them is asked.

Each writes a file with its samples about once a second, and before it answers a scrape; who answers adds up
all files. What ended processes had counted stays in `ended.json`, into which their parent puts it. As nobody
tells what is not in a file yet, a sum never falls, however a process ends: Prometheus would take that for a
restart. It must not know what is counted, and imports nothing heavy: the parent of the workers uses it.
"""

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from mlplatform.crosscutting.metrics.families import Family, Labels, Samples, Value, merged

SECONDS = 1.0
_ENDED = "ended.json"
_MOST_NAMES = 200
"""Names of ended processes that are remembered; one matters only until its file is gone."""

_Rows = list[tuple[str, Labels, Value]]


class _Ended(msgspec.Struct):
    """What ended processes had counted, and whose files are in it."""

    names: list[str] = []
    rows: _Rows = []


class SharedSamples:
    """The file of one process, beside those of the others; `collect` gives its samples of this moment."""

    def __init__(self, path: Path, families: Sequence[Family], collect: Callable[[], Samples]) -> None:
        self._path, self._families, self._collect = path, families, collect
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        """Write the file once a second, until `stop`."""
        self.write()
        self._thread.start()

    def stop(self) -> None:
        """Write it a last time."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)
        self.write()

    def write(self) -> Samples:
        """Write it now, and give what was written; a disk that refuses must not stop anything else."""
        with self._lock:
            samples = self._collect()
            with suppress(OSError):
                _write(self._path, msgspec.json.encode(_rows(samples)))
            return samples

    def all(self) -> Samples:
        """The samples of all processes, this one's of this moment; sums never fall from call to call."""
        own, folder = self.write(), self._path.parent
        # The files first: one that is put into `ended.json` meanwhile is left out by its name.
        paths = [path for path in folder.glob("*.json") if path not in (self._path, folder / _ENDED)]
        others = {path.name: rows for path in paths if (rows := _read(path)) is not None}
        ended = _ended(folder)
        several = [_samples(rows) for name, rows in others.items() if name not in ended.names]
        return merged(self._families, [_samples(ended.rows), own, *several])

    def _run(self) -> None:
        while not self._stop.wait(SECONDS):
            self.write()


def begin(folder: Path) -> None:
    """An empty folder for the files of a service that starts; OSError if it cannot be made."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink(missing_ok=True)


def bury(path: Path, families: Sequence[Family]) -> None:
    """Add what an ended process had counted to that of others before it; by one process at a time."""
    rows = _read(path)
    if rows is None:
        return
    ended, lasting = _ended(path.parent), [family for family in families if family.lasts]
    both = merged(lasting, [_samples(ended.rows), _samples(rows)])
    names = [*ended.names, path.name][-_MOST_NAMES:]
    with suppress(OSError):
        _write(path.parent / _ENDED, msgspec.json.encode(_Ended(names, _rows(both))))
        path.unlink(missing_ok=True)


def _rows(samples: Samples) -> _Rows:
    return [(name, labels, value) for name, values in samples.items() for labels, value in values.items()]


def _samples(rows: _Rows) -> Samples:
    found: Samples = {}
    for name, labels, value in rows:
        found.setdefault(name, {})[labels] = value
    return found


def _read(path: Path) -> _Rows | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Rows)
    except (OSError, ValueError):  # it was put into `ended.json` just now, or never written
        return None


def _ended(folder: Path) -> _Ended:
    try:
        return msgspec.json.decode((folder / _ENDED).read_bytes(), type=_Ended)
    except (OSError, ValueError):
        return _Ended()


def _write(path: Path, content: bytes) -> None:
    """Whoever reads sees the old or the new file, never a part."""
    draft = path.with_name(f".{path.name}")
    draft.write_bytes(content)
    os.replace(draft, path)
