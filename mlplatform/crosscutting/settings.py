"""Where this deployment keeps and finds things: the one place that reads the environment.

It must not open anything: a setting is a value, the rooms that use it do the work.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlplatform.crosscutting.access import Access
from mlplatform.crosscutting.alerting.settings import AlertSettings
from mlplatform.errors import ConfigurationError


@dataclass(frozen=True)
class Settings:
    """Values of one deployment. Every field is set by a variable of the environment."""

    home: Path
    """Folder of everything generated (MLPLATFORM_HOME, default `.mlplatform` in the working folder)."""
    state_url: str
    """SQLAlchemy URL of small relational state (champion history)."""
    broker_url: str
    """URL of the NATS server; the embedded one is started on it when it is local."""
    online_store: str = "memory://"
    """URL of the Online Feature Store: in each service's own memory, or a Valkey/Redis server for several."""
    dask: str = ""
    """Scheduler for parallel training, such as tcp://host:8786; empty: workers started here for each one."""
    dask_time_limit: int = 3600
    """Seconds that one attempt of a parallel training may take."""
    host: str = "127.0.0.1"
    scoring_port: int = 8080
    ingestion_port: int = 8081
    preparation_port: int = 8082
    ui_port: int = 3000
    access: Access = field(default_factory=Access)
    """Who may ask the services over HTTP (keys, hosts, origins, rates)."""
    workers: int = 1
    """Processes of the scoring service; the kernel divides the connections among them."""
    webhook_targets: str = ""
    """URL prefixes that scores may be pushed to, with commas (MLPLATFORM_WEBHOOK_TARGETS); empty: none."""
    webhook_secret: str = field(default="", repr=False)
    """Signs what is pushed: `whsec_` and base64 of 24 to 64 bytes (MLPLATFORM_WEBHOOK_SECRET)."""
    alerts: AlertSettings = field(default_factory=AlertSettings)
    """Where alerts are sent to."""
    log_format: str = "text"
    """`text`, or `json`: one JSON object a line (MLPLATFORM_LOG_FORMAT)."""
    otlp_endpoint: str = ""
    """Where spans are sent to (OTEL_EXPORTER_OTLP_ENDPOINT, which OpenTelemetry reads too); empty: none."""
    log_level: str = "info"
    """From which level on the platform logs: debug, info, warning or error (MLPLATFORM_LOG_LEVEL)."""
    proof_days: int = 90
    """Days for which the result of a check counts in the ML Test Score (MLPLATFORM_PROOF_DAYS)."""

    def state_file_exists(self) -> bool:
        """Whether the SQLite file of `state_url` is there; true for every other database."""
        prefix = "sqlite:///"
        return not self.state_url.startswith(prefix) or Path(self.state_url.removeprefix(prefix)).exists()

    @property
    def lake_catalog(self) -> Path:
        """SQLite file of the lake's catalogue."""
        return self.home / "lake" / "catalog.sqlite"

    @property
    def lake_data(self) -> Path:
        """Folder of the lake's Parquet files."""
        return self.home / "lake" / "data"

    @property
    def raw(self) -> Path:
        """Folder of the bytes of the Raw Data Store."""
        return self.home / "raw"

    @property
    def candidates(self) -> Path:
        """Folder of the Model Candidate Data Store."""
        return self.home / "candidates"

    @property
    def packages(self) -> Path:
        """Folder of the packages of models that may be deployed."""
        return self.home / "packages"

    @property
    def checkpoints(self) -> Path:
        """Folder of trainings that are not over."""
        return self.home / "checkpoints"

    @property
    def reports(self) -> Path:
        """Folder of rendered reports."""
        return self.home / "reports"

    @property
    def dagster_home(self) -> Path:
        """Dagster's instance folder (event log, runs, schedules)."""
        return self.home / "dagster"

    @property
    def scoring_url(self) -> str:
        """Base URL of the scoring service."""
        return f"http://{self.host}:{self.scoring_port}"

    @property
    def ingestion_url(self) -> str:
        """Base URL of the online ingestion service."""
        return f"http://{self.host}:{self.ingestion_port}"

    @property
    def ui_url(self) -> str:
        """Base URL of the Dagster UI."""
        return f"http://{self.host}:{self.ui_port}"

    def at(self, *, scoring_port: int) -> "Settings":
        """The same settings with another port for the scoring service."""
        return replace(self, scoring_port=scoring_port)

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Read settings from the environment.

        Raises
        ------
        ConfigurationError
            if a port is not a number between 1 and 65535, a time limit no whole number of seconds, the number
            of workers none from 1 to 1024, days none from 1 to 36500, a word not one of those allowed, or
            what `Access` holds is not as it says.
        """
        env = os.environ if environ is None else environ
        home = Path(env.get("MLPLATFORM_HOME", ".mlplatform")).absolute()
        host = env.get("MLPLATFORM_HOST", "127.0.0.1")
        return cls(
            home=home,
            state_url=env.get("MLPLATFORM_STATE_URL", f"sqlite:///{home / 'state.sqlite'}"),
            broker_url=env.get("MLPLATFORM_BROKER_URL", "nats://127.0.0.1:4222"),
            online_store=env.get("MLPLATFORM_ONLINE_STORE", "memory://"),
            dask=env.get("MLPLATFORM_DASK", ""),
            dask_time_limit=_seconds(env, "MLPLATFORM_DASK_TIME_LIMIT", 3600),
            host=host,
            scoring_port=_port(env, "MLPLATFORM_SCORING_PORT", 8080),
            ingestion_port=_port(env, "MLPLATFORM_INGESTION_PORT", 8081),
            preparation_port=_port(env, "MLPLATFORM_PREPARATION_PORT", 8082),
            ui_port=_port(env, "MLPLATFORM_UI_PORT", 3000),
            access=Access.load(env, host),
            workers=_workers(env, "MLPLATFORM_WORKERS", 1),
            webhook_targets=env.get("MLPLATFORM_WEBHOOK_TARGETS", ""),
            webhook_secret=env.get("MLPLATFORM_WEBHOOK_SECRET", ""),
            alerts=AlertSettings.load(env),
            otlp_endpoint=env.get("OTEL_EXPORTER_OTLP_ENDPOINT", ""),
            log_format=_word(env, "MLPLATFORM_LOG_FORMAT", ("text", "json")),
            log_level=_word(env, "MLPLATFORM_LOG_LEVEL", ("info", "debug", "warning", "error")),
            proof_days=_days(env, "MLPLATFORM_PROOF_DAYS", 90),
        )


def _port(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name, str(default))
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise ConfigurationError(
            f"{name} is {text!r}; a port is a whole number from 1 to 65535.",
            hint=f"Set it to a free port, or unset it for the default {default}.",
        )
    return int(text)


def _seconds(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name, str(default))
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise ConfigurationError(
            f"{name} is {text!r}; a time limit is a whole number of seconds from 1.",
            hint=f"Set it to seconds, or unset it for the default {default}.",
        )
    return int(text)


def _word(env: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    """One of some words, the first being the default."""
    text = env.get(name, "").lower() or allowed[0]
    if text not in allowed:
        raise ConfigurationError(
            f"{name} is {env[name]!r}; allowed: {', '.join(allowed)}.",
            hint=f"Set it to one of them, or unset it for the default {allowed[0]}.",
        )
    return text


def _days(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name, str(default))
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 36_500):
        raise ConfigurationError(
            f"{name} is {text!r}; allowed: a whole number of days from 1 to 36500.",
            hint=f"Set it to days, or unset it for the default {default}.",
        )
    return int(text)


def _workers(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name, str(default))
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 1024):
        raise ConfigurationError(
            f"{name} is {text!r}; the number of workers is a whole number from 1 to 1024.",
            hint="Set it to the number of cores that scoring may use.",
        )
    return int(text)
