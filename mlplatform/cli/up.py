"""`mlplatform up`: broker, ingestion, Dagster UI and daemon, and scoring, together in the foreground."""

import http.client
import sys
from pathlib import Path

from mlplatform.cli.app import app
from mlplatform.cli.output import err, out
from mlplatform.cli.prepare import publish_all
from mlplatform.crosscutting.bus import open_bus
from mlplatform.crosscutting.bus.embedded import broker_process, is_local
from mlplatform.crosscutting.processes import ProcessSpec, Supervisor
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import ConfigurationError
from mlplatform.offline import project
from mlplatform.stores import data_audit


@app.command()
def up() -> None:
    """Start everything and keep it running; Ctrl-C ends it all."""
    settings = Settings.load()
    specs, streams = services(settings)
    data_audit.catch_up(settings)  # after the home was found to be one that can be written

    def opened() -> None:
        out.print(f"Dagster UI   {settings.ui_url}/asset-groups", markup=False)
        out.print(f"scoring      {settings.scoring_url}/docs", markup=False)
        if streams:
            out.print(f"events       {settings.ingestion_url}/docs", markup=False)
        out.print(f"broker       {settings.broker_url}", markup=False)
        out.print("Ctrl-C ends everything.")
        sys.stdout.flush()

    def told(name: str, event: str) -> None:
        err.print(f"{name}: {event}", markup=False)

    Supervisor(specs, progress=told).run(on_ready=opened)


def services(settings: Settings) -> tuple[list[ProcessSpec], list[str]]:
    """Every process of a deployment, in the order of their start, and the event streams it takes."""
    streams, prepared = _streams(), publish_all(settings, Path.cwd())
    specs = [
        *_broker(settings),
        *([ingestion_process(settings, streams)] if streams else []),
        dagster_process(settings),
        *([preparation_process(settings, prepared)] if prepared else []),
        batch_process(settings),
        scoring_process(settings),
    ]
    return specs, streams


def _broker(settings: Settings) -> list[ProcessSpec]:
    """The embedded broker, or nothing if another one is configured, which has to answer."""
    if is_local(settings.broker_url):
        return [broker_process(settings.broker_url, settings.home)]
    open_bus(settings.broker_url).close()
    return []


def _streams() -> list[str]:
    """Every declared event stream, as `USE_CASE:STREAM`; a wrong declaration stops no other's."""
    found = []
    for folder in project.use_cases(Path.cwd()).values():
        try:
            declared = project.load(folder)
        except ConfigurationError as error:
            err.print(f"no streams of {folder.name}: {error}", markup=False)
            continue
        found += [f"{declared.name}:{stream}" for stream in declared.config.streams]
    return found


def ingestion_process(settings: Settings, streams: list[str]) -> ProcessSpec:
    """The online ingestion service: takes events, and archives them."""
    return ProcessSpec(
        name="ingestion",
        command=(sys.executable, "-m", "mlplatform.online.ingestion_server", *streams),
        log=settings.home / "logs" / "ingestion.log",
        environment={
            "MLPLATFORM_HOME": str(settings.home),
            "MLPLATFORM_INGESTION_PORT": str(settings.ingestion_port),
        },
        ready=lambda: _answers(settings.host, settings.ingestion_port, "/health/live"),
        port=settings.ingestion_port,
        port_setting="MLPLATFORM_INGESTION_PORT",
        host=settings.host,
    )


def preparation_process(settings: Settings, use_cases: list[str]) -> ProcessSpec:
    """The online preparation service: features of the stream's questions, into the lake."""
    return ProcessSpec(
        name="preparation",
        command=(sys.executable, "-m", "mlplatform.online.preparation_server", *use_cases),
        log=settings.home / "logs" / "preparation.log",
        environment={
            "MLPLATFORM_HOME": str(settings.home),
            "MLPLATFORM_PREPARATION_PORT": str(settings.preparation_port),
        },
        ready=lambda: _answers(settings.host, settings.preparation_port, "/health/live"),
        port=settings.preparation_port,
        port_setting="MLPLATFORM_PREPARATION_PORT",
        host=settings.host,
    )


def dagster_process(settings: Settings) -> ProcessSpec:
    """The Dagster UI with its daemon and code server."""
    from mlplatform.offline.instance import prepare_instance

    return ProcessSpec(
        name="dagster",
        command=(
            *(sys.executable, "-W", "ignore", "-m", "dagster", "dev", *_workspace(Path.cwd())),
            *("--host", settings.host, "--port", str(settings.ui_port), "--live-data-poll-rate", "5000"),
            *("--log-level", "warning"),  # at "info" every tick of every sensor is a line
            *(("--log-format", "json") if settings.log_format == "json" else ()),
        ),
        log=settings.home / "logs" / "dagster.log",
        environment={
            "DAGSTER_HOME": str(prepare_instance(settings)),
            "MLPLATFORM_HOME": str(settings.home),
            "DAGSTER_DISABLE_TELEMETRY": "yes",
            "DAGSTER_GRPC_SHUTDOWN_GRACE_PERIOD": "3",
            "PYTHONWARNINGS": "ignore",
        },
        ready=lambda: _answers(settings.host, settings.ui_port, "/server_info"),
        port=settings.ui_port,
        port_setting="MLPLATFORM_UI_PORT",
        host=settings.host,
    )


def batch_process(settings: Settings) -> ProcessSpec:
    """The batch scoring service: a process per request, which ends with it."""
    return ProcessSpec(
        name="batch scoring",
        command=(sys.executable, "-m", "mlplatform.online.batch_runner"),
        log=settings.home / "logs" / "batch_runner.log",
        environment={"MLPLATFORM_HOME": str(settings.home)},
    )


def scoring_process(settings: Settings) -> ProcessSpec:
    """The online scoring service; it is up before there is a champion, and takes one up when there is."""
    return ProcessSpec(
        name="scoring",
        command=(sys.executable, "-m", "mlplatform.online.server", *project.use_cases(Path.cwd())),
        log=settings.home / "logs" / "scoring.log",
        environment={
            "MLPLATFORM_HOME": str(settings.home),
            "MLPLATFORM_SCORING_PORT": str(settings.scoring_port),
            "MLPLATFORM_WORKERS": str(settings.workers),
            "OMP_NUM_THREADS": "1",
        },
        ready=lambda: _answers(settings.host, settings.scoring_port, "/health/live"),
        port=settings.scoring_port,
        port_setting="MLPLATFORM_SCORING_PORT",
        host=settings.host,
    )


def _workspace(here: Path) -> list[str]:
    """What Dagster is to load: the project's own workspace if there is one, else this package."""
    if (here / "workspace.yaml").exists():
        return ["-w", str(here / "workspace.yaml")]
    pyproject = here / "pyproject.toml"
    if pyproject.exists() and "[tool.dagster]" in pyproject.read_text():
        return []
    return ["-m", "mlplatform.definitions"]


def _answers(host: str, port: int, path: str) -> bool:
    """Whether a service says that all is well; cheap, because it is asked many times while others start."""
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status < 400
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
