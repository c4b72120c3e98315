"""The file that names the parent of the workers of one port, so that `mlplatform serve --reload` finds it.

The parent holds a lock on it as long as it lives: a number that an ended process left is never signalled. It
must not start or end a process.
"""

import os
import signal
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import ServiceError
from mlplatform.online.lock_file import LockFile

_WHAT = "the scoring service"


class PidFile:
    """Inside the `with` block the file has this process's id and is locked.

    Raises
    ------
    ServiceError
        if another parent of the same home and port runs.
    StoreError
        if the file cannot be made.
    """

    def __init__(self, settings: Settings) -> None:
        self._path = path_of(settings)

    def __enter__(self) -> "PidFile":
        self._lock = LockFile(self._path, _WHAT)
        self._path.write_text(str(os.getpid()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._path.write_text("")
        self._lock.release()


def path_of(settings: Settings) -> Path:
    """Where the file of this home and port is."""
    return settings.home / f"scoring-{settings.scoring_port}.pid"


def reload(settings: Settings) -> int:
    """Tell the parent of the workers to replace them one after the other; its process id.

    Raises
    ------
    ServiceError
        if no service with several workers runs for this home and port.
    """
    path = path_of(settings)
    if path.exists():
        try:
            LockFile(path, _WHAT).release()
        except ServiceError:
            with suppress(ValueError, ProcessLookupError):
                pid = int(path.read_text())
                os.kill(pid, signal.SIGHUP)
                return pid
    raise ServiceError(
        f"no scoring service with several workers runs on port {settings.scoring_port}.",
        hint="Start it with `mlplatform serve --workers 2` or more; MLPLATFORM_HOME and the port choose it.",
    )
