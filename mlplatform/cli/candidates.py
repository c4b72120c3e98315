"""`mlplatform candidates`: every trained model with its figures and their intervals."""

from collections.abc import Iterator
from contextlib import closing
from typing import Annotated, Any

import polars as pl
import typer
from rich.console import Console
from rich.table import Table

from mlplatform.cli.app import Json, UseCaseName, app, use_case_folder
from mlplatform.cli.days import a_day
from mlplatform.cli.output import emit, err, out
from mlplatform.crosscutting.settings import Settings
from mlplatform.offline import project
from mlplatform.offline.declared import Declared
from mlplatform.stores.lake import KEY, Lake

CHIEF = ("log_loss", "brier", "roc_auc", "average_precision", "ece", "rmse", "mae", "r2")
"""Figures that people are shown, as far as a use case has them; `--json` has all."""


AsOf = Annotated[
    str, typer.Option("--as-of", help="Only this as-of date (YYYY-MM-DD).", metavar="DAY", callback=a_day)
]


@app.command()
def candidates(use_case: UseCaseName, as_of: AsOf = "", json: Json = False) -> None:
    """List the candidates of a use case: per model, as-of date and part its figures with intervals."""
    declared = project.load(use_case_folder(use_case))
    with closing(Lake.from_settings(Settings.load())) as lake:
        found = [row for model in declared.config.models for row in _of_model(lake, declared, model, as_of)]
    if json:
        emit({"use_case": declared.name, "candidates": found})
    elif found:
        # Where the output goes to a file or another program, nothing is to be cut off.
        (out if out.is_terminal else Console(highlight=False, width=180)).print(_table(found))
    else:
        err.print(f"no candidate yet: mlplatform run {declared.name}", markup=False)


def _of_model(lake: Lake, declared: Declared, model: str, as_of: str) -> Iterator[dict[str, Any]]:
    """One entry per as-of date and part that the model was evaluated on; one without figures if on none."""
    trained = _rows(lake, declared, f"candidate_{model}", as_of)
    judged = _rows(lake, declared, f"evaluation_{model}", as_of)
    for made in trained.sort(KEY).iter_rows(named=True):
        mine = judged.filter((pl.col(KEY) == made[KEY]) & (pl.col("digest") == made["digest"]))
        parts = mine["part"].unique(maintain_order=True).to_list() if mine.height else [None]
        for part in parts:
            figures = mine.filter(pl.col("part") == part) if part else mine
            yield _entry(model, made, part, figures)


def _entry(model: str, made: dict[str, Any], part: str | None, figures: pl.DataFrame) -> dict[str, Any]:
    kept = ("digest", "feature_set", "split_id", "rows", "label_rate", "fit_seconds")
    return {
        "model": model,
        "as_of": made[KEY],
        "part": part,
        **{name: made.get(name) for name in kept},
        "figures": {row["figure"]: _figure(row) for row in figures.iter_rows(named=True)},
    }


def _figure(row: dict[str, Any]) -> dict[str, float | None]:
    """Evaluations made before there were intervals have none."""
    return {"value": row["value"], "low": row.get("low"), "high": row.get("high")}


def _rows(lake: Lake, declared: Declared, name: str, as_of: str) -> pl.DataFrame:
    """Rows of a table, of one as-of date or all; none where there is no table yet."""
    table = declared.table(name)
    if not lake.exists(table):
        return pl.DataFrame(schema={KEY: pl.String, "digest": pl.String, "part": pl.String})
    return lake.read(table, partitions=[as_of] if as_of else None)


def _table(found: list[dict[str, Any]]) -> Table:
    """The chief figures, each with its interval, a line per candidate and part."""
    chief = [name for name in CHIEF if any(name in row["figures"] for row in found)]
    table = Table("as of", "model", "digest", "part", "fit s", *chief, header_style="bold")
    for row in found:
        shown = [_spelled(row["figures"].get(name)) for name in chief]
        seconds = "" if row["fit_seconds"] is None else f"{row['fit_seconds']:.1f}"
        part = row["part"] or "not evaluated"
        table.add_row(row["as_of"], row["model"], row["digest"][:12], part, seconds, *shown)
    return table


def _spelled(figure: dict[str, float | None] | None) -> str:
    if figure is None:
        return ""
    low, high = figure["low"], figure["high"]
    ends = "" if low is None or high is None else f"\n{low:.4f} to {high:.4f}"
    return f"{figure['value']:.4f}{ends}"
