"""`mlplatform serve`: the online scoring service in the foreground."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from mlplatform.cli.app import app
from mlplatform.cli.output import out
from mlplatform.cli.prepare import publish_all
from mlplatform.crosscutting import logs
from mlplatform.crosscutting.settings import Settings
from mlplatform.offline import project
from mlplatform.online.batch_runner import start_beside


@app.command()
def serve(
    port: Annotated[
        int, typer.Option(help="Port to listen on (MLPLATFORM_SCORING_PORT).", min=0, max=65535)
    ] = 0,
    workers: Annotated[int, typer.Option(help="Processes that answer (MLPLATFORM_WORKERS).", min=0)] = 0,
    reload: Annotated[
        bool, typer.Option(help="Replace the workers of the service that runs, one after the other.")
    ] = False,
) -> None:
    """Answer scoring requests with the champions; Ctrl-C ends it."""
    settings = Settings.load()
    settings = settings.at(scoring_port=port) if port else settings
    settings = replace(settings, workers=workers) if workers else settings
    if reload:
        from mlplatform.online import pid_file

        out.print(f"process {pid_file.reload(settings)} replaces its workers", markup=False)
        return
    publish_all(settings, Path.cwd())
    start_beside(settings)
    use_cases = list(project.use_cases(Path.cwd()))
    if settings.workers > 1:
        _become_parent(settings, use_cases)
    from mlplatform.online import server

    logs.set_up(settings, "scoring")
    server.serve(settings, use_cases)


def _become_parent(settings: Settings, use_cases: list[str]) -> None:
    """This process becomes the small parent of the workers, without what the command line has loaded."""
    chosen = {
        "MLPLATFORM_SCORING_PORT": str(settings.scoring_port),
        "MLPLATFORM_WORKERS": str(settings.workers),
    }
    sys.stdout.flush()
    command = [sys.executable, "-m", "mlplatform.online.server", *use_cases]
    os.execve(sys.executable, command, {**os.environ, **chosen})
