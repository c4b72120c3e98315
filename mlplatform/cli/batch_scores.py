"""`mlplatform score … --from … --to …` and `mlplatform batch-scores`: score days, and see how far they are.

A request is the same whoever asks for it; here the command starts its process itself and shows how far it is.
"""

import time
from contextlib import closing, suppress
from typing import Annotated

import typer
from rich.table import Table

from mlplatform.cli.app import Json, app, use_case_folder
from mlplatform.cli.output import emit, err, out, progress
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import BusError, ServiceError
from mlplatform.offline import project
from mlplatform.online.batch_runner import Runner, spawner
from mlplatform.online.batch_telling import announce, listed, shown
from mlplatform.stores.batch_asking import Asked, ask
from mlplatform.stores.batch_requests import BatchRequest, BatchRequests
from mlplatform.stores.champions import ChampionStore

_POLL_SECONDS = 0.2


def score_days(
    use_case: str, facts: list[str], first: str, last: str, version: int | None, *, json: bool
) -> None:
    """Ask for the batch scores of days, have them made, and say how it went."""
    if facts or not (first and last):
        raise typer.BadParameter("days are scored with --from DAY and --to DAY, and without facts")
    settings, name = Settings.load(), project.load(use_case_folder(use_case)).name
    with (
        closing(ChampionStore(settings.state_url)) as champions,
        closing(BatchRequests(settings.state_url)) as requests,
    ):
        asked = Asked(use_case=name, first=first, last=last, version=version)
        request = _followed(settings, requests, ask(requests, champions, asked))
        with suppress(BusError):  # without a broker the batch scoring service announces them later
            announce(requests, settings.broker_url)
    if json:
        emit(shown(request))
    elif request.state == "done":
        out.print(
            f"{request.rows_done:,} questions of {request.days_done} days scored by {request.model} version "
            f"{request.version}",
            markup=False,
        )
    if request.state == "failed":
        raise ServiceError(f"request {request.id} has failed: {request.error}")


@app.command()
def batch_scores(
    id: Annotated[str, typer.Argument(help="A request; all of them if left out.", metavar="[ID]")] = "",
    limit: Annotated[int, typer.Option(help="Requests to print at most, the newest.", min=1)] = 50,
    json: Json = False,
) -> None:
    """List the requests for batch scores, or show how far one is."""
    settings = Settings.load()
    if not id and not settings.state_file_exists():
        found = []
    else:
        with closing(BatchRequests(settings.state_url)) as requests:
            found = [requests.get(id)] if id else requests.newest(limit)
    if json:
        emit(shown(found[0]) if id else listed(found))
        return
    if not found:
        err.print("no request yet: mlplatform score USE_CASE --from DAY --to DAY")
        return
    table = Table("id", "use case", "days", "version", "state", "rows", "asked (UTC)", "error")
    for each in found:
        table.add_row(*_cells(each))
    out.print(table)


def _cells(request: BatchRequest) -> list[str]:
    rows = f"{request.rows_done:,}" + ("" if request.rows is None else f" of {request.rows:,}")
    return [
        request.id,
        request.use_case,
        f"{request.first} to {request.last}",
        str(request.version),
        request.state,
        rows,
        f"{request.asked_at:%Y-%m-%d %H:%M:%S}",
        request.error,
    ]


def _followed(settings: Settings, requests: BatchRequests, request: BatchRequest) -> BatchRequest:
    """The request when it has ended; its process is started here, unless a service took it up before."""
    runner = Runner(lambda: requests, spawner(settings), only=request.id)
    try:
        with progress() as bar:
            task = bar.add_task(f"scores of {request.use_case}", total=None, now="")
            while not request.ended:
                runner.tick()
                time.sleep(_POLL_SECONDS)
                request = requests.get(request.id)
                bar.update(task, completed=request.rows_done, total=request.rows, now=request.state)
    finally:
        runner.close()
    return request
