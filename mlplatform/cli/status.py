"""`mlplatform status`: what this deployment holds, and how everything that runs or waits is."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from mlplatform.cli.app import Json, app
from mlplatform.cli.output import emit, out
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import ConfigurationError
from mlplatform.offline import project
from mlplatform.offline.declared import Declared
from mlplatform.offline.health import Health, Part, gather
from mlplatform.offline.summary import summary

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red", "off": "dim"}
_SERVICES = {"ui": "Dagster UI", "scoring": "scoring", "ingestion": "ingestion", "broker": "broker"}


@app.command()
def status(
    check: Annotated[
        bool, typer.Option("--check", help="Exit code 1 if a part has a problem, for scripts and monitors.")
    ] = False,
    json: Json = False,
) -> None:
    """Champions, figures, rows and partitions of every use case, and the health of the whole.

    A part is `ok`; `warning`: somebody should look; `problem`: it is meant to run and does not, or something
    is lost or critical; `off`: not meant to run here. Nothing is started. The exit code is 0 whatever is
    said, as nothing has to run for most commands; with --check it is 1 if there is a problem.
    """
    settings = Settings.load()
    use_cases, declared = _use_cases(settings)
    health = gather(settings, declared)
    if json:
        emit(
            {
                "home": str(settings.home),
                "use_cases": use_cases,
                "services": _services(health),
                "health": {"state": health.state, "at": health.at, "parts": health.parts},
            }
        )
    else:
        for name, said in use_cases.items():
            _print_use_case(name, said)
        for part in health.parts:
            _print_part(part)
    if check and not health.well:
        raise typer.Exit(1)


def _use_cases(settings: Settings) -> tuple[dict[str, Any], list[Declared]]:
    """What is said of each use case, and those whose declaration is right."""
    told: dict[str, Any] = {}
    right = []
    for name, folder in project.use_cases(Path.cwd()).items():
        try:
            declared = project.load(folder)
        except ConfigurationError as error:
            told[name] = {"problem": str(error), "hint": error.hint}
        else:
            told[name] = summary(declared, settings)
            right.append(declared)
    return told, right


def _services(health: Health) -> dict[str, str]:
    """Where each service answers, for scripts."""
    found = {part.name: part for part in health.parts}
    told = {key: found[name].url or "not running" for key, name in _SERVICES.items()}
    if found["scoring"].url:
        told["scoring"] += f" ({found['scoring'].said})"
    return told


def _print_use_case(name: str, said: dict[str, Any]) -> None:
    out.print(f"[bold]{name}[/]  {said.get('title', '')}")
    if "problem" in said:
        out.print(f"  {said['problem']}\n  hint: {said['hint']}", markup=False)
        return
    champion = said["champion"]
    if champion is None:
        out.print(f"  no champion yet: mlplatform run {name}")
        return
    figures = ", ".join(f"{metric} {value:.4f}" for metric, value in said["metrics"].items())
    out.print(
        f"  champion {champion['model']} version {champion['version']} ({champion['digest'][:12]}), {figures}"
    )
    table = Table("table", "rows", "partitions", header_style="bold")
    for asset, rows in said["rows"].items():
        table.add_row(asset, f"{rows:,}", str(said["partitions"].get(asset, "")))
    out.print(table)


def _print_part(part: Part) -> None:
    out.print(f"[{_COLOURS[part.state]}]{part.state:>8}[/]  {part.name:<15}  ", end="")
    out.print(part.said, markup=False)
    indent = " " * 27
    for each in part.details if part.state in ("warning", "problem") else ():
        out.print(f"{indent}- {each}", markup=False)
    if part.remedy:
        out.print(f"{indent}{part.remedy}", markup=False)
