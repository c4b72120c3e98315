"""`mlplatform audit`: who changed champion, configuration, data and keys, and whether the record is whole."""

from contextlib import closing
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mlplatform.cli.app import Json, app
from mlplatform.cli.output import emit, err, out
from mlplatform.crosscutting.settings import Settings
from mlplatform.stages.monitoring.audit import Entry, Verdict
from mlplatform.stores import data_audit
from mlplatform.stores.audit import AuditLog

audit = typer.Typer(
    help="The append-only record of every change to champion, configuration, data and API keys.",
    no_args_is_help=True,
)
app.add_typer(audit, name="audit")

_ABOUT = ("action", "version", "rows", "batch")


@audit.command("list")
def list_(
    kind: Annotated[
        str, typer.Option(help="Only champion, configuration, data, key or another kind.", metavar="KIND")
    ] = "",
    subject: Annotated[str, typer.Option(help="Only of this use case, key or partition.")] = "",
    limit: Annotated[int, typer.Option(help="Entries to print at most, the newest.", min=1)] = 50,
    json: Json = False,
) -> None:
    """List the entries in their order: what was changed, by whom, when and why."""
    with closing(_log()) as log:
        found = log.entries(kind=kind, subject=subject, newest=limit)
    if json:
        emit({"entries": [entry.told() for entry in found]})
    elif not found:
        err.print("nothing is recorded yet.", markup=False)
    else:
        # Where the output goes to a file or another program, nothing is to be cut off.
        (out if out.is_terminal else Console(highlight=False, width=180)).print(_table(found))


@audit.command()
def verify(
    head: Annotated[
        str,
        typer.Option(help="A hash this command printed before: without it a cut-off end is not seen."),
    ] = "",
    json: Json = False,
) -> None:
    """Recompute the chain of hashes: every changed, removed, swapped or inserted entry is named.

    Exit code 1 if anything is wrong. Keep the hash it prints elsewhere, and give it back as --head later.
    """
    with closing(_log()) as log:
        verdict = log.verify(head)
    if json:
        emit({"sound": verdict.sound, **msgspec.to_builtins(verdict)})
    else:
        _print(verdict, head)
    if not verdict.sound:
        raise typer.Exit(1)


def _log() -> AuditLog:
    """The audit, after what killed processes did not record has been."""
    settings = Settings.load()
    data_audit.catch_up(settings)
    return AuditLog.from_settings(settings)


def _print(verdict: Verdict, head: str) -> None:
    for fault in verdict.faults:
        out.print(f"[bold red]entry {fault.number}[/]: {escape(fault.what)}")
    count = f"{verdict.entries:,} entr{'y' if verdict.entries == 1 else 'ies'}"
    if verdict.sound:
        since = f"; {verdict.entries - verdict.anchor} since the given one" if verdict.anchor else ""
        out.print(f"{count}, none changed{since}.", markup=False)
    else:
        out.print(f"{count}, {len(verdict.faults)} faults.", markup=False)
    out.print(f"head {verdict.head}", markup=False)
    if not head:
        err.print("an end that is cut off shows only against a head noted before: --head HASH", markup=False)


def _table(entries: list[Entry]) -> Table:
    table = Table("no", "at (UTC)", "kind", "subject", "what", "by", "why", header_style="bold")
    for entry in entries:
        told = entry.told()
        cells = (told["at"][:19].replace("T", " "), told["kind"], told["subject"], _what(told["details"]))
        table.add_row(str(entry.number), *map(escape, (*cells, told["who"], told["why"])))
    return table


def _what(details: Any) -> str:
    """The change in a few words."""
    if not isinstance(details, dict):
        return "damaged"
    if "changed" in details:
        keys = [str(each["key"]) for each in details["changed"]]
        return f"changed: {', '.join(keys[:5])}{' …' if len(keys) > 5 else ''}" if keys else "first"
    after = details.get("after")
    told = {**(after if isinstance(after, dict) else {}), **details}
    said = [f"{name} {told[name]}" for name in _ABOUT if name in told]
    return ", ".join(said).removeprefix("action ")
