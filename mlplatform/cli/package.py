"""`mlplatform package`: the package of a version, tested, and as one file to carry elsewhere."""

from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from mlplatform.cli.app import Json, UseCaseName, app, use_case_folder
from mlplatform.cli.output import emit, out
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import NotFound
from mlplatform.offline import project
from mlplatform.offline.packaging import Made, Packager
from mlplatform.stores.champions import ChampionStore
from mlplatform.stores.lake import Lake
from mlplatform.stores.packages import PackageStore


@app.command()
def package(
    use_case: UseCaseName,
    version: Annotated[int, typer.Option("--version", help="The champion if left out.", min=0)] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", help="Write it to this tar file.", metavar="FILE.tar")
    ] = None,
    json: Json = False,
) -> None:
    """Make the package of a version, run its contract tests, and write it to a file if wanted."""
    declared, settings = project.load(use_case_folder(use_case)), Settings.load()
    if not settings.state_file_exists():
        raise NotFound(f"{declared.name!r} has no version yet.", hint=f"mlplatform run {declared.name}")
    with closing(ChampionStore(settings.state_url)) as store, closing(Lake.from_settings(settings)) as lake:
        present = store.deployment(declared.name)
        if present is None:
            raise NotFound(f"{declared.name!r} has no champion yet.", hint=f"mlplatform run {declared.name}")
        release = store.find(declared.name, version) if version else present.champion
        packager = Packager.from_settings(declared, settings, lake)
        packed = packager.pack(Made(release.model, release.digest, release.as_of), present, release)
    if output is not None and packed.id:
        PackageStore(settings.packages).export(declared.name, packed.id, output)
    said: dict[str, Any] = {
        "use_case": declared.name,
        "version": release.version,
        "model": release.model,
        "digest": release.digest,
        "package": packed.id,
        "folder": str(packed.folder) if packed.folder else None,
        "file": str(output) if output is not None and packed.id else None,
        "tests": [{"test": f.name, "passed": f.passed, "found": f.said} for f in packed.findings],
        "fault": packed.fault,
    }
    emit(said) if json else _print(said)
    if packed.fault:
        raise typer.Exit(1)


def _print(said: dict[str, Any]) -> None:
    out.print(f"{said['use_case']} version {said['version']}: {said['model']}", markup=False)
    table = Table("test", "passed", "found", header_style="bold")
    for each in said["tests"]:
        table.add_row(each["test"], "yes" if each["passed"] else "NO", each["found"])
    out.print(table)
    out.print(said["file"] or said["folder"] or f"no package: {said['fault']}", markup=False)
