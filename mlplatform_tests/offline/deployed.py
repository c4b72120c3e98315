"""A use case in a home of its own with a Dagster instance and a broker: sensors ticked as the daemon does."""

import logging
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from dagster import (
    DagsterInstance,
    Definitions,
    ExecuteInProcessResult,
    RunRequest,
    build_sensor_context,
)

from mlplatform.crosscutting.bus import Bus, open_bus
from mlplatform.crosscutting.bus.embedded import broker_process
from mlplatform.crosscutting.bus.topics import (
    DEPLOYMENT_CHANGED,
    FEATURES_GENERATED,
    MODEL_READY_FOR_DEPLOYMENT,
    RAW_DATA_EXTRACTED,
    SOURCE_DATA_AVAILABLE,
    DeploymentChanged,
    FeaturesGenerated,
    ModelReadyForDeployment,
    RawDataExtracted,
)
from mlplatform.crosscutting.processes import Supervisor
from mlplatform.crosscutting.settings import Settings
from mlplatform.offline.assets._shared import key
from mlplatform.offline.declared import Declared
from mlplatform.offline.messages import arrival
from mlplatform.offline.use_case import definitions
from mlplatform.stores.batches import Manifest
from mlplatform.stores.lake import Lake
from mlplatform.stores.raw import RawStore

SENSORS = (
    "source_data_available",
    "raw_data_extracted",
    "features_due",
    "features_generated",
    "model_ready_for_deployment",
    "deployment_changed",
)


class Heard(logging.Handler):
    """Collects what a sensor logs."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR:
            self.errors.append(record.getMessage())


@dataclass
class Tick:
    """What one evaluation of a sensor gave."""

    requests: list[RunRequest]
    skipped: str
    cursor: str
    errors: list[str]

    @property
    def keys(self) -> list[str]:
        return [request.run_key or "" for request in self.requests]


class Platform:
    """One use case with its home, its Dagster instance and a broker's address."""

    def __init__(self, declared: Declared, settings: Settings, instance: DagsterInstance) -> None:
        self.declared, self.settings, self.instance = declared, settings, instance
        self.defs: Definitions = definitions(declared, settings)
        self.cursors = dict.fromkeys(SENSORS, "")

    @classmethod
    def at(cls, declared: Declared, broker_url: str, home: Path) -> "Platform":
        settings = Settings.load({"MLPLATFORM_HOME": str(home), "MLPLATFORM_BROKER_URL": broker_url})
        settings.dagster_home.mkdir(parents=True)
        return cls(declared, settings, DagsterInstance.local_temp(str(settings.dagster_home)))

    def __enter__(self) -> "Platform":
        return self

    def __exit__(self, *error: object) -> None:
        self.instance.dispose()

    def bus(self) -> closing[Bus]:
        return closing(open_bus(self.settings.broker_url))

    def announce(self, *days: str, data_set: str = "orders", name: str = "delivery") -> list[str]:
        """Publish that days can be fetched; returns the messages' ids."""
        ids = [f"{name}-{day}" for day in days]
        with self.bus() as bus:
            for day, id in zip(days, ids, strict=True):
                bus.publish(SOURCE_DATA_AVAILABLE, arrival(self.declared, data_set, day, id))
        return ids

    def tick(self, sensor: str) -> Tick:
        """Evaluate a sensor as the daemon does, its cursor kept from one time to the next."""
        made = self.defs.resolve_sensor_def(f"{self.declared.name}_{sensor}")
        cursor, heard = self.cursors.get(sensor) or None, Heard()
        with build_sensor_context(self.instance, cursor=cursor, definitions=self.defs) as context:
            context.log.addHandler(heard)
            found = made.evaluate_tick(context)
        self.cursors[sensor] = found.cursor or ""
        return Tick(
            list(found.run_requests or []), found.skip_message or "", self.cursors[sensor], heard.errors
        )

    def perform(self, request: RunRequest) -> ExecuteInProcessResult:
        """Do what a run request asks for."""
        return self.materialise(
            *[asset.path[-1] for asset in request.asset_selection or []],
            partition_key=request.partition_key,
            tags=dict(request.tags),
        )

    def materialise(
        self, *assets: str, partition_key: str | None = None, tags: dict[str, str] | None = None
    ) -> ExecuteInProcessResult:
        job = self.defs.resolve_implicit_global_asset_job_def()
        return job.execute_in_process(
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            instance=self.instance,
            asset_selection=[key(self.declared, name) for name in assets],
            partition_key=partition_key,
            tags=tags,
        )

    def over(self, days: list[str], *assets: str) -> ExecuteInProcessResult:
        """Materialise a range of days in one run."""
        first, last = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
        return self.materialise(*assets, tags={first: days[0], last: days[-1]})

    def rows(self, table: str, *days: str) -> int:
        with closing(Lake.from_settings(self.settings)) as lake:
            return lake.read(self.declared.table(table), partitions=list(days) or None).height

    def send(self, day: str, *, id: str | None = None, data_set: str = "orders", **told: Any) -> None:
        """Publish that a day can be fetched, and what the delivery is."""
        with self.bus() as bus:
            bus.publish(
                SOURCE_DATA_AVAILABLE, arrival(self.declared, data_set, day, id or uuid4().hex, **told)
            )

    def manifests(self, data_set: str = "orders") -> list[Manifest]:
        with closing(Lake.from_settings(self.settings)) as lake:
            return RawStore.from_settings(self.settings, lake).manifests(self.declared.name, data_set)

    def generated(self) -> list[FeaturesGenerated]:
        with self.bus() as bus:
            return [message.envelope.data for message in bus.read(FEATURES_GENERATED, 0, 10_000)]

    def extracted(self) -> list[RawDataExtracted]:
        with self.bus() as bus:
            return [message.envelope.data for message in bus.read(RAW_DATA_EXTRACTED, 0, 10_000)]

    def deployments(self) -> list[DeploymentChanged]:
        with self.bus() as bus:
            return [message.envelope.data for message in bus.read(DEPLOYMENT_CHANGED, 0, 10_000)]

    def ready(self) -> list[ModelReadyForDeployment]:
        with self.bus() as bus:
            return [message.envelope.data for message in bus.read(MODEL_READY_FOR_DEPLOYMENT, 0, 10_000)]


class running:
    """An embedded broker at this address within the `with` block."""

    def __init__(self, url: str, home: Path) -> None:
        self._supervisor = Supervisor([broker_process(url, home)])

    def __enter__(self) -> None:
        self._supervisor.start()

    def __exit__(self, *error: object) -> None:
        self._supervisor.stop()
