"""`mlplatform sql`: a question to the lake."""

from contextlib import closing
from typing import Annotated

import polars as pl
import typer
from rich.markup import escape
from rich.table import Table

from mlplatform.cli.app import Json, app
from mlplatform.cli.output import emit, err, out
from mlplatform.crosscutting.settings import Settings
from mlplatform.stores.lake import Lake


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help='For example "SELECT count(*) FROM flight_delay.flights".')],
    json: Json = False,
    limit: Annotated[int, typer.Option(help="Rows to print at most.", min=1)] = 100,
) -> None:
    """Ask the lake in SQL (DuckDB's dialect); tables are <use case>.<asset>, read only."""
    with closing(Lake.from_settings(Settings.load())) as lake:
        found = lake.sql(query)
    if json:
        emit({"columns": found.columns, "rows": _plain(found).rows(), "row_count": found.height})
        return
    table = Table(*[escape(name) for name in found.columns], header_style="bold")
    for row in _plain(found.head(limit)).rows():
        table.add_row(*["" if value is None else escape(str(value)) for value in row])
    out.print(table)
    if found.height > limit:
        err.print(f"{limit} of {found.height} rows; --limit shows more.")


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    """Times as ISO 8601 text, so that they read the same everywhere."""
    times = [name for name, kind in frame.schema.items() if kind.is_temporal()]
    return frame.with_columns(pl.col(name).cast(pl.String) for name in times)
