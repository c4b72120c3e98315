"""The health page, written anew twice a minute; one sensor per deployment. It must not gather by itself."""

from functools import cache
from pathlib import Path

from dagster import DefaultSensorStatus, SensorDefinition, SensorEvaluationContext, SkipReason, sensor

from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import ConfigurationError, StoreError
from mlplatform.offline import project
from mlplatform.offline.declared import Declared
from mlplatform.offline.health import gather
from mlplatform.offline.health.page import write
from mlplatform.offline.once import brings


def health_sensors(use_case: str, settings: Settings) -> list[SensorDefinition]:
    """The sensor of a deployment, for the first use case that is loaded; none for the others."""
    if not brings(use_case, settings):
        return []

    @sensor(
        name="health_page",
        minimum_interval_seconds=30,
        default_status=DefaultSensorStatus.RUNNING,
        description="Writes the page of how services, daemons and all that waits are: GET /status/platform.",
    )
    def health_page(context: SensorEvaluationContext) -> SkipReason:
        health = gather(settings, _declared(Path.cwd()), instance=context.instance)
        try:
            write(health, settings)
        except StoreError as error:
            return SkipReason(f"{error} {error.hint}")
        unwell = [f"{part.name}: {part.said}" for part in health.parts if part.state == "problem"]
        return SkipReason("; ".join(unwell) or "All that is meant to run does.")

    return [health_page]


@cache
def _declared(here: Path) -> tuple[Declared, ...]:
    """Every use case of the project; this process ends when a declaration is changed."""
    found = []
    for folder in project.use_cases(here).values():
        try:
            found.append(project.load(folder))
        except ConfigurationError:
            continue  # Dagster says what is wrong with it
    return tuple(found)
