"""`mlplatform search`: a model's declared search on the stored training rows, and what it would change.

It must not store anything: the asset `search_<model>` does.
"""

from contextlib import closing, nullcontext
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table

from mlplatform.cli.app import Json, UseCaseName, app, use_case_folder
from mlplatform.cli.days import a_day
from mlplatform.cli.output import emit, err, out, progress
from mlplatform.crosscutting.settings import Settings
from mlplatform.offline import project
from mlplatform.offline.declared import Declared
from mlplatform.offline.search_declared import section
from mlplatform.stages.evaluation.search.found import Found, Trial, short
from mlplatform.stages.evaluation.search.space import edges
from mlplatform.stores.lake import Lake

SHOWN = 10
"""Trials that people are shown, the best ones."""


@app.command()
def search(
    use_case: UseCaseName,
    model: Annotated[str, typer.Argument(help="A model that declares `search`.", metavar="MODEL")],
    trials: Annotated[
        int | None, typer.Option(help="Points to try.", min=1, max=10_000, show_default="the declared number")
    ] = None,
    as_of: Annotated[
        str,
        typer.Option(
            help="Day of training, YYYY-MM-DD.",
            metavar="DAY",
            callback=a_day,
            show_default="the declared one",
        ),
    ] = "",
    json: Json = False,
) -> None:
    """Search the parameters of a model within its training rows, without storing anything."""
    declared = project.load(use_case_folder(use_case))
    told = section(declared, model)
    day = as_of or str(declared.config.split.as_of)
    found = _found(declared, model, day, trials or told.trials, silent=json)
    at_edges = edges(told.dimensions, found.best.params)
    emit(_reply(declared, model, day, found, at_edges)) if json else _print(model, found, at_edges)


def _found(declared: Declared, model: str, day: str, trials: int, *, silent: bool) -> Found:
    from mlplatform.offline.searched import search_model

    with (
        closing(Lake.from_settings(Settings.load())) as lake,
        nullcontext() if silent else progress() as bar,
    ):
        task = bar.add_task(f"search {model}", total=trials + 1, now="") if bar else None

        def heard(trial: Trial) -> None:
            if bar and task is not None:
                bar.update(task, advance=1, now=_said(trial))

        return search_model(declared, lake, model, day, trials=trials, heard=heard)


def _said(trial: Trial) -> str:
    return f"trial {trial.number} " + (trial.state if trial.value is None else short(trial.value))


def _reply(declared: Declared, model: str, day: str, found: Found, at_edges: list[str]) -> dict[str, Any]:
    return {
        "use_case": declared.name,
        "model": model,
        "as_of": day,
        "metric": found.metric,
        "parameters": found.parameters,
        "value": found.best.value,
        "declared_value": found.declared.value,
        "gain": found.gain,
        "best_trial": found.best.number,
        "importance": found.importance,
        "at_edge": at_edges,
        "trials": [msgspec.to_builtins(trial) | {"value": trial.value} for trial in found.trials],
    }


def _print(model: str, found: Found, at_edges: list[str]) -> None:
    searched = sorted({name for trial in found.trials for name in trial.params})
    table = Table("trial", found.metric, *searched, "seconds", header_style="bold")
    for trial in found.ranked[:SHOWN]:
        point = [short(trial.params[name]) if name in trial.params else "" for name in searched]
        number = str(trial.number) if trial.params else "declared"
        table.add_row(number, f"{trial.value:.6g}", *point, f"{trial.seconds:.1f}")
    out.print(table)
    ended = ", ".join(f"{found.count(state)} {state}" for state in ("complete", "pruned", "failed"))
    out.print(f"{len(found.trials) - 1} trials: {ended}", markup=False)
    gain = "" if found.gain is None else f", better than the declared parameters by {found.gain:.6g}"
    out.print(f"best      {found.metric} {found.best.value:.6g}{gain}", markup=False)
    for name, value in found.parameters.items():
        out.print(f"  {name}: {value}", markup=False)
    _warn(model, found, at_edges)


def _warn(model: str, found: Found, at_edges: list[str]) -> None:
    for sentence in at_edges:
        err.print(f"warning: {sentence}", markup=False)
    if found.declared.value is None:
        reason = found.declared.reason
        err.print(f"warning: the declared parameters of {model} failed: {reason}", markup=False)
