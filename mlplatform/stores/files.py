"""Single files that appear whole or not at all."""

import os
import tempfile
from pathlib import Path

from mlplatform.errors import StoreError


def write_atomically(path: Path, content: bytes) -> Path:
    """Write `content` to `path`: a new file beside it, synced, then renamed over it.

    Raises
    ------
    StoreError
        if the disk refuses; a file that was there stays as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written: {error}.", hint="Check free space and permissions of the folder."
        ) from error
    return path
