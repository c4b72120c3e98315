"""`mlplatform metrics`: where the services tell their metrics, and what Prometheus and Grafana take."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from mlplatform.cli.app import Json, app
from mlplatform.cli.output import emit, out
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import ConfigurationError

FILES = ("prometheus.yml", "alerts.yml", "grafana-dashboard.json")
"""Of the package's folder `observability`."""
_SHIPPED = {"scoring": "127.0.0.1:8080", "ingestion": "127.0.0.1:8081", "preparation": "127.0.0.1:8082"}
"""Addresses in the shipped prometheus.yml."""


@app.command()
def metrics(
    save: Annotated[
        Path | None,
        typer.Option(help="Write the files here, with this deployment's addresses.", metavar="FOLDER"),
    ] = None,
    json: Json = False,
) -> None:
    """Show where the metrics are, and save the scrape configuration, alert rules and Grafana dashboard."""
    targets = _targets(Settings.load())
    written = [] if save is None else _save(save, targets)
    urls = {name: f"http://{target}/metrics" for name, target in targets.items()}
    if json:
        emit({"urls": urls, "files": written})
        return
    for name, url in urls.items():
        out.print(f"{name:12} {url}", markup=False)
    for path in written:
        out.print(f"written      {path}", markup=False)
    if save is None:
        out.print("The files for Prometheus and Grafana: mlplatform metrics --save FOLDER", markup=False)


def _targets(settings: Settings) -> dict[str, str]:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    ports = (settings.scoring_port, settings.ingestion_port, settings.preparation_port)
    return {name: f"{host}:{port}" for name, port in zip(_SHIPPED, ports, strict=True)}


def _save(folder: Path, targets: dict[str, str]) -> list[str]:
    """Write the files; their paths. What is there is replaced."""
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            text = files("mlplatform").joinpath("observability", name).read_text()
            if name == "prometheus.yml":
                for service, address in _SHIPPED.items():
                    text = text.replace(f'"{address}"', f'"{targets[service]}"')
            (folder / name).write_text(text)
            written.append(str(folder / name))
    except OSError as error:
        raise ConfigurationError(
            f"the files cannot be written to {folder}: {error.strerror or error}.",
            hint="Name a folder that you may write to.",
        ) from error
    return written
