"""What killed processes left behind is removed: files that nothing names, once they are old enough.

So are pages of reports, which are made again when somebody asks. Never removed is what has its final name:
deliveries, candidates and packages. It must not know Dagster.
"""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path

import msgspec

from mlplatform.crosscutting.evidently_report import SNAPSHOT
from mlplatform.crosscutting.settings import Settings
from mlplatform.stores.lake import Lake

GRACE = timedelta(days=1)
"""What changed within this time may be at work."""
KEEP = timedelta(days=7)
"""So long the lake keeps replaced rows, for readers that began before."""
_DRAFT = re.compile(r"\.[0-9a-f]{64}-[0-9a-f]{8}")
"""Folder that `stores/write_once.py` writes before it has its name."""
_SPOOLS = ("mlplatform-download-", "mlplatform-query-", "mlplatform-script-", "mlplatform-dask-")


class Maintained(msgspec.Struct, frozen=True, kw_only=True):
    """What was removed, or would be."""

    dry_run: bool
    removed: list[str]
    bytes: int
    lake: bool
    """Whether the lake's files were merged and its left-over ones deleted."""


def maintain(
    settings: Settings, *, dry_run: bool = False, grace: timedelta = GRACE, temporary: Path | None = None
) -> Maintained:
    """Remove what is left over and older than `grace`; safe while others write.

    Parameters
    ----------
    dry_run : only say what would be; the lake is not looked at then.
    temporary : where downloads are spooled; default: the system's folder for that.

    Raises
    ------
    StoreError
        if the lake cannot be maintained; the files are removed then.
    """
    before = time.time() - grace.total_seconds()
    removed, size = [], 0
    for path in _left_over(settings, temporary or Path(tempfile.gettempdir())):
        found = _measured(path)
        if found is None or found[0] > before:
            continue
        if not dry_run:
            _remove(path)
        removed.append(str(path))
        size += found[1]
    if not dry_run:
        with closing(Lake.from_settings(settings)) as lake:
            lake.maintain(KEEP)
    return Maintained(dry_run=dry_run, removed=removed, bytes=size, lake=not dry_run)


def _left_over(settings: Settings, temporary: Path) -> Iterator[Path]:
    yield from settings.raw.glob(".incoming-*")
    for root in (settings.candidates, settings.packages):
        yield from (path for path in root.glob("*/.*") if _DRAFT.fullmatch(path.name))
    for snapshot in settings.reports.rglob(f"*{SNAPSHOT}"):  # the page is made again when somebody asks
        yield snapshot.with_name(f"{snapshot.name.removesuffix(SNAPSHOT)}.html")
    for prefix in _SPOOLS:
        for path in temporary.glob(f"{prefix}*"):
            with suppress(OSError):
                if path.lstat().st_uid == os.getuid() and not path.is_symlink():
                    yield path


def _measured(path: Path) -> tuple[float, int] | None:
    """When anything of it changed last, and its bytes; None if it is gone."""
    try:
        stats = [each.lstat() for each in [path, *(path.rglob("*") if path.is_dir() else ())]]
    except OSError:
        return None
    return max(stat.st_mtime for stat in stats), sum(stat.st_size for stat in stats)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
