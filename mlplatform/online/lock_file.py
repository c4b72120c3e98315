"""A lock between processes of this machine; the system lets go of it when its holder ends, however it ends.

It must not wait, nor remove the file: a process that is about to lock a removed file would lock another one.
"""

import fcntl
import os
from pathlib import Path

from mlplatform.errors import ServiceError, StoreError


class LockFile:
    """Holds `path` for `what` until it is released.

    Raises
    ------
    ServiceError
        if another process, or another object of this one, holds it.
    StoreError
        if the file cannot be made.
    """

    def __init__(self, path: Path, what: str) -> None:
        self._descriptor = -1
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.release()
            raise ServiceError(
                f"{what} runs already: another process holds {path}.",
                hint="Only one may run: stop the other one first.",
            ) from error
        except OSError as error:
            self.release()
            raise StoreError(
                f"{path} cannot be locked: {error}.", hint="Correct the folder's permissions."
            ) from error

    def release(self) -> None:
        """Let go; doing it again does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
