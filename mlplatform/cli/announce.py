"""`mlplatform announce`: tell the platform that a source has data, as a source would itself."""

from contextlib import closing
from typing import Annotated
from uuid import uuid4

import typer

from mlplatform.cli.app import Json, UseCaseName, app, use_case_folder
from mlplatform.cli.output import emit, out
from mlplatform.crosscutting.bus import open_bus
from mlplatform.crosscutting.bus.topics import SOURCE_DATA_AVAILABLE
from mlplatform.crosscutting.settings import Settings
from mlplatform.offline import project
from mlplatform.offline.messages import arrival, refusal
from mlplatform.sources._contract import WHOLE


@app.command()
def announce(
    use_case: UseCaseName,
    data_set: Annotated[str, typer.Argument(help="Name of the data set.", metavar="DATA_SET")],
    partition: Annotated[
        str, typer.Argument(help="Day, written YYYY-MM-DD; left out if it has none.", metavar="DAY")
    ] = WHOLE,
    delivery: Annotated[
        str, typer.Option("--id", help="Id of the delivery: the same one again starts nothing.", metavar="ID")
    ] = "",
    json: Json = False,
) -> None:
    """Publish `source-data-available`, for example: mlplatform announce flight_delay flights 2013-05-05."""
    declared = project.load(use_case_folder(use_case))
    refused = refusal(declared, data_set, partition)
    if refused:
        raise typer.BadParameter(refused)
    message = arrival(declared, data_set, partition, delivery or uuid4().hex)
    with closing(open_bus(Settings.load().broker_url)) as bus:
        sequence = bus.publish(SOURCE_DATA_AVAILABLE, message)
    if json:
        said = {"data_set": data_set, "partition": partition, "id": message.id, "sequence": sequence}
        emit({"topic": SOURCE_DATA_AVAILABLE.name, "use_case": declared.name, **said})
    else:
        out.print(f"announced {data_set} {partition} as message {sequence}, id {message.id}", markup=False)
        out.print("`mlplatform up` takes it within seconds; the Dagster UI shows the run.", markup=False)
