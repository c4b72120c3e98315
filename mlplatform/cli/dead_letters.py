"""`mlplatform dead-letters`: messages that their consumer could not handle, and sending them again."""

from contextlib import closing
from typing import Annotated, Any

import typer

from mlplatform.cli.app import Json, app
from mlplatform.cli.output import emit, err, out
from mlplatform.crosscutting.bus import Received, open_bus
from mlplatform.crosscutting.bus.topics import DeadLetter
from mlplatform.crosscutting.settings import Settings
from mlplatform.crosscutting.whoami import person
from mlplatform.errors import BusError
from mlplatform.offline.dead_letters import letters, redrive
from mlplatform.stores.audit import AuditLog
from mlplatform.stores.redriven import Redriven

dead_letters = typer.Typer(help="Messages that their consumer could not handle.", no_args_is_help=True)
app.add_typer(dead_letters, name="dead-letters")

Topic = Annotated[str, typer.Option("--topic", help="Only those of this topic.", metavar="TOPIC")]
Id = Annotated[list[str] | None, typer.Option("--id", help="Only this letter. Repeatable.", metavar="ID")]


@dead_letters.command("list")
def list_(topic: Topic = "", id: Id = None, json: Json = False) -> None:
    """List them, the oldest first, with the reason."""
    settings = Settings.load()
    with closing(open_bus(settings.broker_url)) as bus, closing(Redriven(settings.state_url)) as redriven:
        counts = redriven.counts()
        found = [_told(each, counts) for each in letters(bus, topic, id or ())]
    if json:
        emit({"letters": found})
        return
    for each in found:
        sent = f", sent again {each['redriven']} times" if each["redriven"] else ""
        out.print(f"{each['id']}  {each['topic']} for {each['consumer']}{sent}", markup=False)
        out.print(f"    {each['reason']}", markup=False)
    if not found:
        err.print("no dead letter", markup=False)


@dead_letters.command("redrive")
def redrive_(
    topic: Topic = "",
    id: Id = None,
    again: Annotated[bool, typer.Option("--again", help="Also those that were sent again before.")] = False,
    json: Json = False,
) -> None:
    """Send the originals to their topics again, each once; exit code 1 if one cannot be.

    Each is recorded in the audit.
    """
    settings = Settings.load()
    sent: list[str] = []
    skipped: list[str] = []
    failed: dict[str, str] = {}
    with (
        closing(open_bus(settings.broker_url)) as bus,
        closing(Redriven(settings.state_url)) as redriven,
        closing(AuditLog.from_settings(settings)) as audit,
    ):
        for letter in letters(bus, topic, id or ()):
            name = letter.envelope.id
            try:
                done = redrive(bus, redriven, audit, letter, person(), again=again)
            except BusError as error:
                failed[name] = f"{error} {error.hint}".strip()
            else:
                (sent if done else skipped).append(name)
    if json:
        emit({"sent": sent, "skipped": skipped, "failed": failed})
    else:
        out.print(f"{len(sent)} sent again, {len(skipped)} were before (--again), {len(failed)} cannot be.")
        for name, why in failed.items():
            err.print(f"{name}: {why}", markup=False)
    if failed:
        raise typer.Exit(1)


def _told(letter: Received[DeadLetter], counts: dict[str, int]) -> dict[str, Any]:
    data, id = letter.envelope.data, letter.envelope.id
    return {
        "id": id,
        "at": letter.envelope.time,
        "use_case": data.use_case,
        "topic": data.topic,
        "consumer": data.consumer,
        "sequence": data.sequence,
        "attempts": data.attempts,
        "reason": data.reason,
        "redriven": counts.get(id, 0),
    }
