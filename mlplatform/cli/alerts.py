"""`mlplatform alerts`: what is wrong now, what was, and whether whoever is to be told can be."""

from contextlib import closing
from typing import Annotated

import typer

from mlplatform.cli.app import Json, app
from mlplatform.cli.output import emit, err, out
from mlplatform.crosscutting.alerting.alert import PLATFORM, Alert, AlertChange
from mlplatform.crosscutting.alerting.targets import targets_of
from mlplatform.crosscutting.alerting.text import body, document, headline
from mlplatform.crosscutting.clock import utc_now
from mlplatform.crosscutting.settings import Settings
from mlplatform.stores.alert_deliveries import AlertDeliveries
from mlplatform.stores.alerts import AlertStore

alerts = typer.Typer(help="What is wrong now, why, and what to do about it.", invoke_without_command=True)
app.add_typer(alerts, name="alerts")


@alerts.callback()
def list_(
    context: typer.Context,
    all_: Annotated[bool, typer.Option("--all", help="The whole history too.")] = False,
    json: Json = False,
) -> None:
    """List the open alerts, the oldest first."""
    if context.invoked_subcommand is not None:
        return
    settings = Settings.load()
    with (
        closing(AlertStore(settings.state_url)) as store,
        closing(AlertDeliveries(settings.state_url)) as sent,
    ):
        opened, history = store.open(), store.history() if all_ else ()
        progress = sent.all()
    if json:
        emit({"open": opened, "history": [document(change) for change in history], "targets": progress})
        return
    for change in history:
        out.print(f"{change.number:>5} {change.at:%Y-%m-%d %H:%M:%S} {headline(change)}", markup=False)
    for each in opened:
        shown = AlertChange(number=each.number, action="raised", alert=each.alert, at=each.since)
        out.print(f"{headline(shown)}\n{body(shown)}", markup=False)
        out.print(f"Seen {each.repeats + 1} times, last {each.last_at:%Y-%m-%d %H:%M:%S}.\n", markup=False)
    if not opened:
        err.print("no open alert", markup=False)
    for target in progress:
        if target.trouble:
            err.print(f"{target.target}: {target.trouble}", markup=False)


@alerts.command()
def clear(
    number: Annotated[int, typer.Argument(help="Of the alert, as `mlplatform alerts --json` says.")],
    why: Annotated[str, typer.Option(help="One sentence for the history.")],
    json: Json = False,
) -> None:
    """Close an open alert by hand."""
    done = False
    with closing(AlertStore(Settings.load().state_url)) as store:
        for each in store.open():
            if each.number == number:
                name = each.alert.use_case, each.alert.kind, each.alert.subject
                done = store.clear(*name, why)
    if json:
        emit({"number": number, "cleared": done})
    else:
        out.print(f"alert {number} is cleared." if done else f"alert {number} is not open.", markup=False)
    if not done:
        raise typer.Exit(1)


@alerts.command("test")
def try_(json: Json = False) -> None:
    """Send a test alert to every configured target and say what each answered; exit code 1 if one failed."""
    alert = Alert(
        use_case=PLATFORM,
        kind="test",
        subject="mlplatform alerts test",
        severity="info",
        cause="This is a test of the targets of alerts; nothing is wrong.",
        remedy="Nothing.",
        at=utc_now(),
    )
    change = AlertChange(number=0, action="raised", alert=alert, at=alert.at)
    answers: dict[str, str] = {}
    for target in targets_of(Settings.load().alerts):
        failure = target.send(change)
        answers[target.name] = failure.reason if failure else "delivered"
    if json:
        emit({"targets": answers})
    elif not answers:
        err.print("no target: set MLPLATFORM_ALERT_WEBHOOK, MLPLATFORM_ALERT_SLACK or MLPLATFORM_ALERT_EMAIL")
    for name, answer in answers.items() if not json else ():
        out.print(f"{name}: {answer}", markup=False)
    if any(answer != "delivered" for answer in answers.values()):
        raise typer.Exit(1)
