"""How commands speak: results to standard output, everything else to standard error."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from mlplatform.errors import MlplatformError

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def emit(result: Any) -> None:
    """Print one JSON object to standard output."""
    text = msgspec.json.format(msgspec.json.encode(result, enc_hook=str), indent=2).decode()
    typer.echo(text)


def complain(error: MlplatformError) -> None:
    """Print an error and its remedy, for people."""
    err.print("[bold red]error:[/] ", end="")
    err.print(str(error), markup=False)
    if error.hint:
        err.print("[bold]hint:[/]  ", end="")
        err.print(error.hint, markup=False)


@contextmanager
def progress() -> Iterator[Progress]:
    """A progress bar on standard error."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[now]}"),
    )
    with Progress(*columns, console=err) as bar:
        yield bar
