"""The process that makes one page of a drift report: `python -m mlplatform.online.report_page SNAPSHOT PAGE`.

Evidently takes seconds to be imported, and hundreds of megabytes: they end with this process. Whoever comes
second for the same page waits for the first, and makes none. It must not choose where it reads or writes.
"""

import fcntl
import gzip
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from mlplatform.crosscutting import logs
from mlplatform.crosscutting.evidently_report import page
from mlplatform.errors import MlplatformError, StoreError
from mlplatform.online.child import stand_back
from mlplatform.stores.files import write_atomically

_LOG = logging.getLogger(__name__)


def is_made(snapshot: Path, file: Path) -> bool:
    """Whether the page is there, and of this snapshot."""
    try:
        return file.stat().st_mtime_ns >= snapshot.stat().st_mtime_ns
    except FileNotFoundError:
        return False


def make(snapshot: Path, file: Path) -> None:
    """Write the page of a snapshot, unless it is there.

    Raises
    ------
    ConfigurationError
        if Evidently cannot read the snapshot.
    StoreError
        if the snapshot cannot be read, or the page not be written.
    """
    with (file.parent / f".{file.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_made(snapshot, file):
            return
        before = None
        while before != (before := snapshot.stat().st_mtime_ns):  # it may be replaced meanwhile
            write_atomically(file, page(_unpacked(snapshot)).encode())


def _unpacked(snapshot: Path) -> bytes:
    try:
        return gzip.decompress(snapshot.read_bytes())
    except (OSError, EOFError, ValueError) as error:
        raise StoreError(
            f"{snapshot} cannot be read: {error}.", hint="Materialise the drift report again."
        ) from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the page named in the arguments; the exit code."""
    stand_back()
    snapshot, file = map(Path, sys.argv[1:] if arguments is None else arguments)
    try:
        make(snapshot, file)
    except MlplatformError as error:
        logs.complain(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
