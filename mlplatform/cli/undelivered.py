"""`mlplatform undelivered`: webhooks that were given up, and sending them again."""

from contextlib import closing
from typing import Annotated, Any

import typer

from mlplatform.cli.app import Json, app
from mlplatform.cli.output import emit, err, out
from mlplatform.crosscutting.settings import Settings
from mlplatform.crosscutting.whoami import person
from mlplatform.errors import NotFound
from mlplatform.stores.audit import AuditLog
from mlplatform.stores.undelivered import Letter, Resent, UndeliveredFiles

undelivered = typer.Typer(help="Webhooks that their receiver did not take.", no_args_is_help=True)
app.add_typer(undelivered, name="undelivered")

UseCase = Annotated[str, typer.Option("--use-case", help="Only those of this use case.", metavar="USE_CASE")]
Key = Annotated[list[str] | None, typer.Option("--key", help="Only this one. Repeatable.", metavar="KEY")]


@undelivered.command("list")
def list_(
    use_case: UseCase = "",
    all_: Annotated[bool, typer.Option("--all", help="Also those that were delivered since.")] = False,
    json: Json = False,
) -> None:
    """List them, the oldest first, with the reason."""
    files = UndeliveredFiles.from_settings(Settings.load())
    notes = files.notes()
    found = [
        _told(letter, notes.get(letter.key))
        for letter in files.letters()
        if use_case in ("", letter.use_case) and (all_ or letter.key not in notes)
    ]
    if json:
        emit({"messages": found})
        return
    for each in found:
        since = f", sent again at {each['resent_at']:%Y-%m-%d %H:%M:%S}" if each["resent_at"] else ""
        out.print(
            f"{each['key']}  {each['given_up_at']:%Y-%m-%d %H:%M:%S}  {each['url']}{since}", markup=False
        )
        out.print(f"    {each['reason']}, tried {each['attempts']} times", markup=False)
    if not found:
        err.print("no message is undelivered", markup=False)


@undelivered.command()
def resend(use_case: UseCase = "", key: Key = None, json: Json = False) -> None:
    """Send them to their receivers again, each once and under its own id; exit code 1 if one is not taken.

    Every message that was taken is recorded in the audit. One that was sent again before is not sent once
    more, unless it is named with --key.
    """
    from mlplatform.online.delivery.resend import Resender

    settings = Settings.load()
    chosen = _chosen(UndeliveredFiles.from_settings(settings), use_case, key or [])
    failed: dict[str, str] = {}
    if chosen:
        with closing(AuditLog.from_settings(settings)) as audit:
            failed = Resender.from_settings(settings, audit).resend(chosen, person())
    sent = [letter.key for letter in chosen if letter.key not in failed]
    if json:
        emit({"sent": sent, "failed": failed})
    else:
        out.print(f"{len(sent)} delivered, {len(failed)} not.", markup=False)
        for name, why in failed.items():
            err.print(f"{name}: {why}", markup=False)
    if failed:
        raise typer.Exit(1)


def _chosen(files: UndeliveredFiles, use_case: str, keys: list[str]) -> list[Letter]:
    """The letters that are meant; NotFound if a key is none of them."""
    if not keys:
        return [letter for letter in files.waiting() if use_case in ("", letter.use_case)]
    by_key = {letter.key: letter for letter in files.letters()}
    if unknown := [key for key in keys if key not in by_key]:
        raise NotFound(
            f"there is no undelivered message {unknown[0]!r}.",
            hint="`mlplatform undelivered list --all` shows the keys.",
        )
    return [by_key[key] for key in dict.fromkeys(keys)]


def _told(letter: Letter, note: Resent | None) -> dict[str, Any]:
    names = ("key", "id", "use_case", "url", "reason", "attempts", "given_up_at")
    return {name: getattr(letter, name) for name in names} | {"resent_at": note.at if note else None}
