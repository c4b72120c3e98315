"""The application: its commands, and what an error looks like to a person."""

import os
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from mlplatform.cli.output import complain
from mlplatform.errors import MlplatformError, NotFound

app = typer.Typer(
    name="mlplatform",
    help="A complete production machine-learning pipeline, declared as a Dagster asset graph.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

UseCaseName = Annotated[str, typer.Argument(help="Name of the use case, or its folder.", metavar="USE_CASE")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def use_case_folder(name: str) -> Path:
    """The folder of the use case a command was given; an unknown name is wrong use, exit code 2."""
    from mlplatform.offline import project

    try:
        return project.find(name, Path.cwd())
    except NotFound as error:
        complain(error)
        raise typer.Exit(2) from error


def main() -> None:
    """Entry point of the console script."""
    # Dagster marks what we use of it as beta at every call; a person can do nothing about that.
    warnings.filterwarnings("ignore", message=r".* is currently in (beta|preview)")
    # Data sets of a use case are named by paths of the project, and children inherit one absolute home.
    os.environ.setdefault("MLPLATFORM_HOME", str(Path(".mlplatform").absolute()))
    from mlplatform.cli import (  # noqa: F401  (register)
        alerts,
        announce,
        audit,
        batch_scores,
        batches,
        candidates,
        champion,
        dead_letters,
        demo,
        features,
        history,
        ingest,
        keys,
        maintain,
        metrics,
        mltestscore,
        monitor,
        package,
        prepare,
        promote,
        replay,
        retrain,
        run,
        score,
        search,
        serve,
        split,
        sql,
        status,
        trace,
        undelivered,
        up,
        validate,
        verify,
        verify_training,
        warm,
    )

    try:
        app()
    except MlplatformError as error:
        complain(error)
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output is gone (`mlplatform sql … | head`); there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        typer.echo("stopped.", err=True)
        sys.exit(130)
