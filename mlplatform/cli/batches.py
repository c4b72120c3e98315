"""`mlplatform batches` and `mlplatform quarantine`: what arrived, and what of it was set aside."""

import re
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import msgspec
import polars as pl
import typer
from rich.console import Console
from rich.table import Table

from mlplatform.cli.app import Json, app
from mlplatform.cli.output import emit, err, out
from mlplatform.crosscutting.settings import Settings
from mlplatform.offline import project
from mlplatform.stores.batches import QUARANTINE
from mlplatform.stores.lake import Lake
from mlplatform.stores.lake import Table as LakeTable
from mlplatform.stores.raw import RawStore

DataSet = Annotated[str, typer.Option("--data-set", help="Only this data set.", metavar="DATA_SET")]
UseCase = Annotated[str, typer.Option("--use-case", help="Only this use case.", metavar="USE_CASE")]
Limit = Annotated[int, typer.Option(help="Rows to print at most, the newest.", min=1)]


@app.command()
def batches(
    data_set: DataSet = "",
    use_case: UseCase = "",
    partition: Annotated[str, typer.Option(help="Only this day.", metavar="DAY")] = "",
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """List deliveries by their manifests, refused ones too, in the order of their arrival."""
    settings, found = Settings.load(), list[dict[str, Any]]()
    with closing(Lake.from_settings(settings)) as lake:
        store = RawStore.from_settings(settings, lake)
        for name in _use_cases(use_case):
            manifests = store.manifests(name, data_set or None)
            found += [{"use_case": name, **msgspec.structs.asdict(manifest)} for manifest in manifests]
    found = [row for row in found if partition in ("", row["partition"])]
    if json:
        emit(found)
        return
    table = Table("data set", "partition", "batch", "status", "rows", "rejected", "received (UTC)")
    for row in found[-limit:]:
        table.add_row(
            *(row["data_set"], _short(row["partition"]), row["batch_id"], _status(row)),
            *(f"{row[name]:,}" for name in ("rows", "rejected")),
            f"{row['received_at']:%Y-%m-%d %H:%M:%S}",
        )
    _print(table, len(found), limit, "no delivery yet: mlplatform run, or mlplatform ingest")


@app.command()
def quarantine(data_set: DataSet = "", use_case: UseCase = "", limit: Limit = 50, json: Json = False) -> None:
    """List rows that were set aside, with the reason and their batch."""
    frames = []
    with closing(Lake.from_settings(Settings.load())) as lake:
        for name in _use_cases(use_case):
            if lake.exists(LakeTable(name, QUARANTINE)):
                rows = lake.read(LakeTable(name, QUARANTINE)).drop("partition_key")
                frames.append(rows.select(pl.lit(name).alias("use_case"), pl.all()))
    found = [row for frame in frames for row in frame.to_dicts() if data_set in ("", row["data_set"])]
    if json:
        emit(found)
        return
    table = Table("data set", "partition", "batch", "line", "reason", "row")
    for row in found[-limit:]:
        table.add_row(
            *(str(row[name]) for name in ("data_set", "partition", "batch_id", "line", "reason", "document"))
        )
    _print(table, len(found), limit, "nothing was set aside")


def _short(partition: str) -> str:
    """Positions in a stream without their leading zeros."""
    return re.sub(r"\b0+(?=\d)", "", partition) if len(partition) > 20 else partition


def _status(row: dict[str, Any]) -> str:
    """Served, replaced by a later batch, or the reason why it was refused."""
    if row["status"] == "refused":
        return f"refused: {row['reason'].partition(':')[0]}"
    return "served" if row["current"] else "replaced"


def _use_cases(name: str) -> list[str]:
    return [name] if name else list(project.use_cases(Path.cwd()))


def _print(table: Table, count: int, limit: int, nothing: str) -> None:
    if not count:
        err.print(nothing, markup=False)
        return
    table.header_style = "bold"
    for column in table.columns:
        column.no_wrap = column.header != "row"
    # Where the output goes to a file or another program, nothing is to be cut off.
    (out if out.is_terminal else Console(highlight=False, width=140)).print(table)
    if count > limit:
        err.print(f"{limit} of {count}; --limit shows more.")
