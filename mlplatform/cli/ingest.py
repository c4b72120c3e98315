"""`mlplatform ingest`: one delivery by hand, held to what a source's would be."""

from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from mlplatform.cli.app import Json, app, use_case_folder
from mlplatform.cli.output import emit, err, out
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import ConfigurationError, DeliveryRefused
from mlplatform.offline import project
from mlplatform.offline.declared import Declared
from mlplatform.offline.messages import refusal
from mlplatform.sources._contract import WHOLE
from mlplatform.stores.batches import Manifest
from mlplatform.stores.lake import Lake
from mlplatform.stores.raw import RawStore


@app.command()
def ingest(
    data_set: Annotated[str, typer.Argument(help="Name of the data set.", metavar="DATA_SET")],
    path: Annotated[str, typer.Argument(help="The delivered file, or its http(s) URL.", metavar="PATH")],
    partition: Annotated[
        str, typer.Option("--partition", help="Day, YYYY-MM-DD; left out if it has none.", metavar="DAY")
    ] = WHOLE,
    use_case: Annotated[
        str, typer.Option("--use-case", help="Needed where several have that data set.", metavar="USE_CASE")
    ] = "",
    rows: Annotated[int | None, typer.Option(help="Rows it must have.", min=0)] = None,
    sha256: Annotated[str, typer.Option(help="SHA-256 it must have.")] = "",
    json: Json = False,
) -> None:
    """Ingest one file, for example: mlplatform ingest flights day.csv --partition 2013-05-05."""
    declared = _declared(data_set, use_case)
    if refused := refusal(declared, data_set, partition):
        raise typer.BadParameter(refused)
    from mlplatform.offline.assets.ingestion import ROWS, SHA256, URI
    from mlplatform.offline.run import ingest as run_ingestion

    remote = path.startswith(("http://", "https://"))
    told = {URI: path if remote else Path(path).absolute().as_uri()}
    told |= {ROWS: str(rows)} if rows is not None else {}
    told |= {SHA256: sha256} if sha256 else {}
    settings = Settings.load()
    before = _served(settings, declared, data_set, partition)
    try:
        run_ingestion(declared, settings, data_set, partition, told)
    except DeliveryRefused as error:
        if json:
            manifest = _refused(settings, declared, data_set, partition)
            emit({"status": "refused", "reason": error.reason, "message": str(error), "batch": manifest})
        raise
    after = _served(settings, declared, data_set, partition)
    status = "unchanged" if before and after and before.batch_id == after.batch_id else "accepted"
    _say(status, after, json)


def _say(status: str, manifest: Manifest | None, json: bool) -> None:
    if json:
        emit({"status": status, "batch": manifest})
    elif manifest is not None:
        said = f"{status}: batch {manifest.batch_id}, {manifest.rows} rows, {manifest.rejected} set aside"
        out.print(said, markup=False)
        if manifest.rejected:
            err.print("`mlplatform quarantine` shows them.", markup=False)


def _declared(data_set: str, use_case: str) -> Declared:
    """The use case that has the data set."""
    if use_case:
        return project.load(use_case_folder(use_case))
    having, known = [], list[str]()
    for folder in project.use_cases(Path.cwd()).values():
        try:
            declared = project.load(folder)
        except ConfigurationError as error:
            err.print(f"passed over: {error}", markup=False)
            continue
        known += [f"{name} ({declared.name})" for name in declared.config.data_sets]
        having += [declared] if data_set in declared.config.data_sets else []
    if not having:
        raise typer.BadParameter(f"got data set {data_set!r}; allowed: {', '.join(known)}.")
    if len(having) > 1:
        names = ", ".join(declared.name for declared in having)
        raise typer.BadParameter(f"{data_set!r} is a data set of {names}; say which: --use-case.")
    return having[0]


def _manifests(settings: Settings, declared: Declared, data_set: str, partition: str) -> list[Manifest]:
    with closing(Lake.from_settings(settings)) as lake:
        found = RawStore.from_settings(settings, lake).manifests(declared.name, data_set)
    return [manifest for manifest in found if manifest.partition == partition]


def _served(settings: Settings, declared: Declared, data_set: str, partition: str) -> Manifest | None:
    found = _manifests(settings, declared, data_set, partition)
    return next((manifest for manifest in found if manifest.current), None)


def _refused(settings: Settings, declared: Declared, data_set: str, partition: str) -> dict[str, Any] | None:
    """The newest refusal of the partition."""
    found = [m for m in _manifests(settings, declared, data_set, partition) if m.status == "refused"]
    return msgspec.structs.asdict(found[-1]) if found else None
