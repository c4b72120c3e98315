"""Folders that are written once and never changed: there as a whole, on disk, or not at all.

It must not know what is in them, nor replace one that is there.
"""

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

_NOTHING: Mapping[str, Path] = {}


def write_folder(target: Path, files: Mapping[str, bytes], links: Mapping[str, Path] = _NOTHING) -> None:
    """Write the files of a folder; a folder that another process wrote meanwhile stays as it is.

    Parameters
    ----------
    links : files to take over from other write-once folders, by name: linked where the disk allows, so that
        they take no room a second time, else copied.

    Raises
    ------
    OSError
        if it cannot be written; nobody then sees a part of it.
    """
    # Files and folders reach the disk before the rename makes them visible, and the rename after it.
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.parent / f".{target.name}-{secrets.token_hex(4)}"
    beside.mkdir()
    try:
        for name, content in files.items():
            with (beside / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for name, source in links.items():
            _take_over(source, beside / name)
        _fsync_folder(beside)
        _rename(beside, target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    for folder in target.parents[:3]:
        _fsync_folder(folder)


def _take_over(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        # Another file system, or one without links.
        shutil.copyfile(source, target)
        with target.open("rb+") as file:
            os.fsync(file.fileno())


def _rename(beside: Path, target: Path) -> None:
    try:
        beside.rename(target)
    except OSError:
        # Another process stored the same bytes first: that is what was asked for.
        if not target.is_dir():
            raise


def _fsync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
