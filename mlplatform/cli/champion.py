"""`mlplatform champion`: the verdict of the champion rule, and the champion that serves."""

from contextlib import closing
from typing import Annotated, Any

import polars as pl
import typer
from rich.markup import escape
from rich.table import Table

from mlplatform.cli.app import Json, UseCaseName, app, use_case_folder
from mlplatform.cli.candidates import AsOf
from mlplatform.cli.output import emit, err, out
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import NotFound
from mlplatform.offline import project, verdicts
from mlplatform.offline.declared import Declared
from mlplatform.offline.summary import champion_of
from mlplatform.stores.lake import KEY, Lake


@app.command()
def champion(
    use_case: UseCaseName,
    as_of: AsOf = "",
    history: Annotated[bool, typer.Option("--history", help="Every date, the oldest first.")] = False,
    json: Json = False,
) -> None:
    """Say which candidate won as of a date (the newest if left out), why, and which champion serves."""
    declared, settings = project.load(use_case_folder(use_case)), Settings.load()
    if history and as_of:
        raise typer.BadParameter("got --history and --as-of; allowed: one of them.")
    if history:
        _history(declared, settings, json=json)
        return
    said = _verdict(declared, settings, as_of)
    said["champion"] = verdicts.as_of(verdicts.deployment(declared.name, settings), said["as_of"])
    said["present"] = champion_of(declared.name, settings)
    if json:
        emit(said)
        return
    out.print(f"[bold]{said['use_case']}[/] as of {said['as_of']}: {escape(said['verdict'])}")
    table = Table("model", "verdict", "reason", header_style="bold")
    for row in said["candidates"]:
        table.add_row(row["model"], "winner" if row["winner"] else "", escape(row["reason"]))
    out.print(table)
    out.print(_told(said["champion"], f"champion as of {said['as_of']}"), markup=False)
    out.print(_told(said["present"], "present champion"), markup=False)


def _history(declared: Declared, settings: Settings, *, json: bool) -> None:
    found = verdicts.history(declared, settings)
    if json:
        present = champion_of(declared.name, settings)
        emit({"use_case": declared.name, "history": found, "present": present})
    elif not found:
        err.print(f"no verdict yet: mlplatform run {declared.name}", markup=False)
    else:
        table = Table("as of", "winner", "verdict", "champion then", header_style="bold")
        for each in found:
            then = each["champion"]
            serving = f"{then['model']} version {then['version']}" if then else "none"
            table.add_row(each["as_of"], each["winner"] or "", escape(each["verdict"]), serving)
        out.print(table)


def _verdict(declared: Declared, settings: Settings, as_of: str) -> dict[str, Any]:
    rows = _rows(declared, settings, as_of)
    # Columns of the deciding figure are empty in the rows of a rule that decided by another one.
    listed = [{k: v for k, v in row.items() if k != KEY} for row in rows.to_dicts()]
    winners = [row for row in listed if row["winner"]]
    winner = winners[0] if winners else None
    return {
        "use_case": declared.name,
        "as_of": rows[KEY][0],
        "winner": winner["model"] if winner else None,
        "digest": winner["digest"] if winner else None,
        "verdict": winner["reason"] if winner else "no winner: every candidate was refused.",
        "reasons": {row["model"]: row["reason"] for row in listed},
        "candidates": listed,
    }


def _rows(declared: Declared, settings: Settings, as_of: str) -> pl.DataFrame:
    """The verdict's rows, a candidate each, of this as-of date or the newest."""
    table = declared.table("champion")
    with closing(Lake.from_settings(settings)) as lake:
        known = lake.partitions(table)
        if not known or (as_of and as_of not in known):
            raise NotFound(
                f"no verdict of {declared.name!r}{f' as of {as_of}' if as_of else ''}; there is "
                f"{', '.join(known) or 'none yet'}.",
                hint=f"mlplatform run {declared.name}, or materialise `champion` for the date.",
            )
        return lake.read(table, partitions=[as_of or known[-1]])


def _told(present: dict[str, Any] | None, who: str) -> str:
    if present is None:
        return f"{who}: none was released yet."
    return (
        f"{who}: {present['model']} version {present['version']} ({present['digest'][:12]}), "
        f"as of {present['as_of']}, since {present['released_at']}"
    )
