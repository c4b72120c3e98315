"""`mlplatform trace`: from a score back to the original files, or from a batch forward to scores."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from mlplatform.cli.app import Json, app
from mlplatform.cli.output import emit, err, out
from mlplatform.crosscutting.settings import Settings

_SHOWN = 12
"""Features and batches that are printed; --json has all."""


@app.command()
def trace(
    prediction_id: Annotated[
        str, typer.Argument(help="Id of a score, as an answer says it.", metavar="[PREDICTION_ID]")
    ] = "",
    batch: Annotated[str, typer.Option(help="Go forward from this batch instead.", metavar="BATCH_ID")] = "",
    json: Json = False,
) -> None:
    """Say where a score comes from: release, candidate, evaluation, split, features, batches and files.

    Exit code 1 if anything of it is missing. With --batch: what the batch went into.
    """
    from mlplatform.offline.trail import declared_reads
    from mlplatform.stores import tracing

    if bool(prediction_id) == bool(batch):
        raise typer.BadParameter("give either a PREDICTION_ID or --batch BATCH_ID.")
    settings = Settings.load()
    if batch:
        forward = tracing.touched_by(settings, batch)
        (emit if json else _print_forward)(forward)
        return
    trail = tracing.trace(settings, prediction_id, declared_reads(Path.cwd()))
    (emit if json else _print)(trail)
    if not trail["complete"]:
        raise typer.Exit(1)


def _print(trail: dict[str, Any]) -> None:
    for name, said in _lines(trail):
        out.print(f"[bold]{name:<13}[/]", end="")
        out.print(said, markup=False)
    # Where the output goes to a file or another program, nothing is to be cut off.
    wide = out if out.is_terminal else Console(highlight=False, width=180)
    wide.print(_features(trail["features"]))
    wide.print(_batches(trail["batches"]))
    whole = all(file["intact"] for file in trail["files"])
    for file in trail["files"][: _SHOWN if whole else None]:
        state = "kept, its bytes are those of its name" if file["intact"] else "MISSING OR CHANGED"
        out.print(f"file {file['sha256']}  {state}", markup=False)
    if whole and len(trail["files"]) > _SHOWN:
        out.print(f"{_SHOWN} of {len(trail['files'])} files, all of them kept as they were", markup=False)
    for sentence in (*trail["bounds"], *trail["notes"]):
        err.print(sentence, markup=False)
    for sentence in trail["missing"]:
        out.print("[bold red]missing[/] ", end="")
        out.print(sentence, markup=False)
    out.print("complete" if trail["complete"] else "not complete", markup=False)


def _lines(trail: dict[str, Any]) -> list[tuple[str, str]]:
    answer, release, split = trail["answer"], trail["release"], trail["split"]
    said = [
        ("score", f"{trail['score']} of {trail['use_case']}, {answer.get('link', 'batch')}"),
        ("asked as of", str(answer.get("as_of"))),
        ("version", f"{trail['version']}  ({trail['digest']})"),
    ]
    if release:
        said.append(("released", f"{release['when']} by {release['who']}: {release['why']}"))
    if candidate := trail["candidate"]:
        window = " to ".join(candidate["window"] or ())
        said.append(("candidate", f"{candidate['kind']}, {candidate['rows']:,} rows of {window}"))
    if evaluation := trail["evaluation"]:
        # Those of slices are named figure[slice].
        figures = {name: value for name, value in evaluation.get("test", {}).items() if "[" not in name}
        said.append(("test figures", ", ".join(f"{name} {value:.4f}" for name, value in figures.items())))
    if split:
        part = split["part"] or "in no part: it was asked later, or has no label"
        said.append(("split", f"as of {split['as_of']}, {split['id'][:12]}; the row: {part}"))
    said.append(("features", f"{trail['feature_set']}; {_proof(trail['proof'])}"))
    row = trail["row"]
    facts = ", ".join(f"{name} {value}" for name, value in (row["facts"] or {}).items())
    said.append(("row", f"day {row['day']}, batch {row['batch']}; {facts or 'not known'}"))
    return said


def _proof(proof: dict[str, bool | None]) -> str:
    words = {True: "the same to the bit", False: "DIFFERENT", None: "not computed"}
    return f"computed again: {words[proof['features_again']]}; scored again: {words[proof['score_again']]}"


def _features(features: dict[str, Any]) -> Table:
    table = Table("feature", "value", "rows", "batches", "what it is", header_style="bold")
    for name, said in list(features.items())[:_SHOWN]:
        value = said.get("level", said["value"])
        table.add_row(name, str(value), str(said["rows"]), str(len(said["batches"])), said["is"])
    if len(features) > _SHOWN:
        table.caption = f"{_SHOWN} of {len(features)}; --json has all"
    return table


def _batches(batches: list[dict[str, Any]]) -> Table:
    table = Table("batch", "data set", "partition", "feeds", "source", header_style="bold")
    for each in batches[:_SHOWN]:
        count = f"{each['features']} feature{'' if each['features'] == 1 else 's'}"
        feeds = ["the row", count] if each["row"] else [count]
        told = [str(each.get(name, "")) for name in ("data_set", "partition", "source")]
        table.add_row(each["batch_id"], told[0], told[1], ", ".join(feeds), told[2])
    if len(batches) > _SHOWN:
        table.caption = f"{_SHOWN} of {len(batches)}; --json has all"
    return table


def _print_forward(found: dict[str, Any]) -> None:
    manifest = found["manifest"]
    out.print(
        f"batch {found['batch']}: {manifest['data_set']} {manifest['partition']} of {found['use_case']}, "
        f"{manifest['rows']:,} rows, from {manifest['source']}",
        markup=False,
    )
    for each in found["partitions"]:
        out.print(
            f"table {each['table']}, partition {each['partition']}: {each['rows']:,} rows", markup=False
        )
    days = found["features"]
    span = f", {days[0]} to {days[-1]}" if days else ""
    out.print(f"features of {len(days)} days{span}", markup=False)
    for each in found["candidates"]:
        how = "on its rows" if each.get("rows") else "on features it fed"
        out.print(
            f"candidate {each['digest'][:12]} ({each.get('kind', 'damaged')}): trained {how}", markup=False
        )
    for table, versions in found["scores"].items():
        for version, said in versions.items():
            count = f"{said['scores']:,} scores of version {version}, {said['own_rows']:,} of its own rows"
            out.print(f"{table}: {count}; the first {', '.join(said['first'][:3])}", markup=False)
    for sentence in (*found["bounds"], *found["notes"]):
        err.print(sentence, markup=False)
