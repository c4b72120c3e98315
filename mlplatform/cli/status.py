"""`mlplatform status`: what this deployment holds and which services answer."""

import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from rich.table import Table

from mlplatform.cli.app import Json, app
from mlplatform.cli.output import emit, out
from mlplatform.crosscutting.scoring_client import ScoringClient
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import ConfigurationError, ServiceError
from mlplatform.offline import project
from mlplatform.offline.summary import summary


@app.command()
def status(json: Json = False) -> None:
    """Champions, figures, rows and partitions of every use case, and the services that run."""
    settings = Settings.load()
    use_cases: dict[str, Any] = {}
    for name, folder in project.use_cases(Path.cwd()).items():
        try:
            declared = project.load(folder)
        except ConfigurationError as error:
            use_cases[name] = {"problem": str(error), "hint": error.hint}
        else:
            use_cases[name] = summary(declared, settings)
    services = {
        "ui": _answer(settings.ui_url, "/server_info"),
        "scoring": _scoring(settings),
        "ingestion": _answer(settings.ingestion_url, "/health/live"),
        "broker": _broker(settings),
    }
    if json:
        emit({"home": str(settings.home), "use_cases": use_cases, "services": services})
        return
    for name, said in use_cases.items():
        _print_use_case(name, said)
    for name, state in services.items():
        out.print(f"{name:>9}: {state}", markup=False)


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


def _answer(url: str, path: str) -> str:
    try:
        httpx.get(f"{url}{path}", timeout=2, trust_env=False).raise_for_status()
    except httpx.HTTPError:
        return "not running"
    return url


def _scoring(settings: Settings) -> str:
    try:
        with ScoringClient(settings.scoring_url, key=settings.access.key) as client:
            return f"{settings.scoring_url} ({client.ready()})"
    except ServiceError as error:
        return "not running" if "nothing answers" in str(error) else str(error)


def _broker(settings: Settings) -> str:
    place = urlsplit(settings.broker_url)
    try:
        socket.create_connection((place.hostname or "", place.port or 4222), timeout=2).close()
    except OSError:
        return "not running"
    return f"{place.scheme}://{place.hostname}:{place.port or 4222}"
