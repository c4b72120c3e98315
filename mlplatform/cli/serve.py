"""`mlplatform serve`: the online scoring service in the foreground."""

from pathlib import Path
from typing import Annotated

import typer

from mlplatform.cli.app import app
from mlplatform.cli.prepare import publish_all
from mlplatform.crosscutting.settings import Settings
from mlplatform.offline import project


@app.command()
def serve(
    port: Annotated[
        int, typer.Option(help="Port to listen on (MLPLATFORM_SCORING_PORT).", min=0, max=65535)
    ] = 0,
) -> None:
    """Answer scoring requests with the champions; Ctrl-C ends it."""
    from mlplatform.online import server

    settings = Settings.load()
    publish_all(settings, Path.cwd())
    server.serve(settings.at(scoring_port=port) if port else settings, list(project.use_cases(Path.cwd())))
