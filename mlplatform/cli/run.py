"""`mlplatform run`: the whole pipeline of one use case in the foreground, and what came of it."""

import socket
import time
from dataclasses import replace
from typing import Any

from rich.table import Table

from mlplatform.cli.app import Json, UseCaseName, app, use_case_folder
from mlplatform.cli.output import emit, err, out, progress
from mlplatform.crosscutting.processes import Supervisor
from mlplatform.crosscutting.scoring_client import ScoringClient
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import ServiceError
from mlplatform.offline import project
from mlplatform.offline.declared import Declared
from mlplatform.offline.summary import summary
from mlplatform.stages.evaluation.metrics import CHIEF


@app.command()
def run(use_case: UseCaseName, json: Json = False) -> None:
    """Materialise everything of a use case that is missing, score one question, and report."""
    started = time.perf_counter()
    settings = Settings.load()
    declared = project.load(use_case_folder(use_case))
    steps = materialise(declared, settings)
    result: dict[str, Any] = {"use_case": declared.name, "task": declared.config.task, "steps": steps}
    result |= summary(declared, settings)
    if declared.config.example and result["champion"]:
        before = time.perf_counter()
        result["answer"] = _answer(declared, settings)
        steps.append(_step("one online score", "", 0, time.perf_counter() - before))
    result["references"] = [reference.model_dump() for reference in declared.config.references]
    result["places"] = {
        "ui": settings.ui_url,
        "data": str(settings.lake_data.parent),
        "reports": str(settings.reports / declared.name),
        "candidates": str(settings.candidates / declared.name),
    }
    result["seconds"] = round(time.perf_counter() - started, 1)
    if json:
        emit(result)
    else:
        _print(result)


def materialise(declared: Declared, settings: Settings) -> list[dict[str, Any]]:
    """Everything of a use case that is missing, with progress shown; what was done, step by step."""
    from mlplatform.offline.plan import Step
    from mlplatform.offline.run import run as materialise_all

    tasks: dict[str, Any] = {}
    with progress() as bar:

        def told(step: Step, done: int, now: str) -> None:
            if step.title not in tasks:
                tasks[step.title] = bar.add_task(step.title, total=len(step.assets), now="")
            shown = now.removeprefix(f"{declared.name}__")
            bar.update(tasks[step.title], completed=done, now=shown)

        finished = materialise_all(declared, settings, told)
    return [_step(done.title, done.span, done.assets, done.seconds) for done in finished]


def _step(title: str, span: str, assets: int, seconds: float) -> dict[str, Any]:
    return {"title": title, "partitions": span, "assets_materialised": assets, "seconds": round(seconds, 1)}


def _answer(declared: Declared, settings: Settings) -> dict[str, Any]:
    """The declared example, scored by the service that runs, or by one started for it."""
    from mlplatform.cli.up import scoring_process

    if _serves(settings, declared.name):
        with ScoringClient(settings.scoring_url, key=settings.access.key) as client:
            return client.score(declared.name, declared.config.example)
    own = settings.at(scoring_port=_free_port())
    supervisor = Supervisor([replace(scoring_process(own), ready=lambda: _serves(own, declared.name))])
    supervisor.start()
    try:
        with ScoringClient(own.scoring_url, key=own.access.key) as client:
            return client.score(declared.name, declared.config.example)
    finally:
        supervisor.stop()


def _serves(settings: Settings, use_case: str) -> bool:
    """Whether a scoring service is there and has this use case in use; others of the home may come first."""
    try:
        with ScoringClient(settings.scoring_url, key=settings.access.key) as client:
            known = client.status()["use_cases"]
    except ServiceError:
        return False
    return bool(known.get(use_case, {}).get("ready"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _print(result: dict[str, Any]) -> None:
    rows = Table(
        "data", "rows", "partitions", header_style="bold", title="What is in the lake", title_justify="left"
    )
    for name, count in result["rows"].items():
        rows.add_row(name, f"{count:,}", str(result["partitions"].get(name, "")))
    out.print(rows)
    out.print(_figures(result))
    champion = result["champion"]
    if champion:
        out.print(f"[bold]champion[/]  {champion['model']} version {champion['version']}: {champion['why']}")
    if "answer" in result:
        said = result["answer"]
        out.print(f"[bold]online[/]    {_said(said)}")
    times = Table(
        "step", "partitions", "assets", "seconds", header_style="bold", title="Time", title_justify="left"
    )
    for step in result["steps"]:
        times.add_row(
            step["title"], step["partitions"], str(step["assets_materialised"]), f"{step['seconds']:.1f}"
        )
    times.add_row("all", "", "", f"{result['seconds']:.1f}")
    out.print(times)
    places = result["places"]
    out.print(f"reports   {places['reports']}", markup=False)
    out.print(f'data      {places["data"]}   (mlplatform sql "SHOW ALL TABLES")', markup=False)
    err.print(f"next      mlplatform up, then {places['ui']}", markup=False)


def _said(answer: dict[str, Any]) -> str:
    """The answer to the example in a line."""
    if "places" not in answer:
        return f"score {answer['score']:.4f} for the example, id {answer['prediction_id']}"
    first = answer["places"][0]
    named = ", ".join(f"{name} {value}" for name, value in first["facts"].items())
    return f"{answer['kind']} of {len(answer['places'])} for the example; first {named}: {first['score']:.4f}"


def _figures(result: dict[str, Any]) -> Table:
    metrics = CHIEF[result["task"]]
    table = Table("model", *metrics, header_style="bold", title="Test figures", title_justify="left")
    winner = result["champion"]["digest"] if result["champion"] else ""
    for name, figures in result["models"].items():
        if figures:
            style = "bold green" if figures["digest"] == winner else ""
            table.add_row(name, *[f"{figures[m]:.4f}" if m in figures else "" for m in metrics], style=style)
    table.add_section()
    for reference in result["references"]:
        figures = reference["figures"]
        shown = [f"{figures[m]:.4f}" if m in figures else "" for m in metrics]
        table.add_row(f"reference: {reference['name']}", *shown, style="dim")
    return table
