"""`type: mlplatform.UseCase`: the Dagster component that turns a declaration into the whole asset graph."""

from pathlib import Path
from typing import Self

from dagster import Component, ComponentLoadContext, Definitions
from pydantic import BaseModel

from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import ConfigurationError
from mlplatform.offline.assets import (
    deployment,
    evaluation,
    ingestion,
    monitoring,
    observation,
    preparation,
    replication,
    scoring,
    search,
    segregation,
    selection,
    streams,
    training,
)
from mlplatform.offline.config import UseCaseConfig
from mlplatform.offline.declare import declare
from mlplatform.offline.declared import Declared
from mlplatform.offline.jobs import jobs
from mlplatform.offline.maintenance_job import maintenance
from mlplatform.offline.sensors import schedules, sensors
from mlplatform.offline.wiring import resources


class UseCase(Component):
    """One machine-learning use case: a folder with `defs.yaml` and `features.py`."""

    def __init__(self, config: UseCaseConfig) -> None:
        self.config = config

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The schema of `attributes` in defs.yaml."""
        return UseCaseConfig

    @classmethod
    def load(cls, attributes: BaseModel | None, context: ComponentLoadContext) -> Self:
        """The component of validated attributes."""
        if not isinstance(attributes, UseCaseConfig):
            raise ConfigurationError(
                f"{context.path} has no attributes.", hint="Write them under `attributes:`; see the README."
            )
        return cls(attributes)

    def build_defs(self, context: ComponentLoadContext) -> Definitions:
        """Assets, checks, sensors and resources of the use case."""
        return definitions(declare(_folder(context.path), self.config), Settings.load())


def definitions(declared: Declared, settings: Settings) -> Definitions:
    """Everything Dagster loads for one use case."""
    daily, daily_schedules = maintenance(declared.name, settings)
    return Definitions(
        assets=[
            *ingestion.build(declared),
            *streams.build(declared),
            *preparation.build(declared),
            *replication.build(declared, settings),
            *segregation.build(declared),
            *selection.build(declared),
            *search.build(declared),
            *training.build(declared),
            *evaluation.build(declared),
            *deployment.build(declared, settings),
            *scoring.build(declared),
            *monitoring.build(declared, settings),
            *observation.build(declared, settings),
        ],
        jobs=[*jobs(declared, settings), *daily],
        sensors=sensors(declared, settings),
        schedules=[*schedules(declared), *daily_schedules],
        resources=resources(settings),
    )


def _folder(path: Path) -> Path:
    return (path if path.is_dir() else path.parent).absolute()
