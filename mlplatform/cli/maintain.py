"""`mlplatform maintain`: remove what killed processes left behind, and merge the lake's small files."""

from typing import Annotated

import typer

from mlplatform.cli.app import Json, app
from mlplatform.cli.output import emit, out
from mlplatform.crosscutting.settings import Settings


@app.command()
def maintain(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    json: Json = False,
) -> None:
    """Remove left-over files that are older than a day; safe while everything runs."""
    from mlplatform.offline import maintenance

    done = maintenance.maintain(Settings.load(), dry_run=dry_run)
    if json:
        emit(done)
        return
    for path in done.removed:
        out.print(path, markup=False)
    said = "would be removed" if dry_run else "removed; the lake is maintained"
    out.print(f"{len(done.removed)} files and folders, {done.bytes:,} bytes {said}.", markup=False)
