"""`mlplatform prepare`: the Online Data Preparation Service of one use case, in the foreground."""

from pathlib import Path
from typing import Annotated

import typer

from mlplatform.cli.app import UseCaseName, app, use_case_folder
from mlplatform.cli.output import err
from mlplatform.crosscutting import logs
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import ConfigurationError
from mlplatform.offline import configuration_audit, project
from mlplatform.offline.declared import Declared
from mlplatform.offline.trail import joined
from mlplatform.online.streams import Streams, StreamSources, of_declaration, publish


@app.command()
def prepare(
    use_case: UseCaseName,
    partition: Annotated[int, typer.Option(help="Number of this process, from 0.", min=0, max=7)] = 0,
    of: Annotated[int, typer.Option(help="How many processes share the work.", min=1, max=8)] = 1,
) -> None:
    """Compute the features of every question that the event stream asks, into the lake; Ctrl-C ends it."""
    from mlplatform.online import preparation_server

    settings, declared = Settings.load(), project.load(use_case_folder(use_case))
    if not publish_streams(settings, declared):
        raise ConfigurationError(
            f"{declared.name} has no stream with sources, so no event is a row of its features.",
            hint="Map the events in defs.yaml: `streams: {<name>: {sources: {<type>: <source>}}}`.",
        )
    logs.set_up(settings, "preparation")
    preparation_server.serve(settings, [declared.name], partition=partition, of=of)


def publish_streams(settings: Settings, declared: Declared) -> bool:
    """Tell the services which events are rows of which source; whether there is any."""
    found = streams_of(declared)
    publish(settings.home, found)
    return bool(found.streams)


def publish_all(settings: Settings, here: Path) -> list[str]:
    """Do so for every use case; names of those that have any. A wrong declaration stops no other's."""
    names = []
    for folder in project.use_cases(here).values():
        try:
            declared = project.load(folder)
        except ConfigurationError as error:
            err.print(f"no streams of {folder.name}: {error}", markup=False)
            continue
        configuration_audit.record(declared, settings, why="loaded when the services were started")
        if publish_streams(settings, declared):
            names.append(declared.name)
    return names


def streams_of(declared: Declared) -> Streams:
    """What the services are told of a use case's streams, and of what cleaning joins."""
    told = {
        name: StreamSources(sources=dict(stream.sources), day_zone=stream.day_zone)
        for name, stream in declared.config.streams.items()
    }
    return of_declaration(declared.name, told, declared.feature_set, joined(declared))
