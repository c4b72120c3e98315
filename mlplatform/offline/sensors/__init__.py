"""The sensors and schedules of a use case: messages and clocks that start runs, and runs that send messages.

Cursors are their own (Dagster's asset sensor drops partitions that finish within one tick). A tick must not
take long: Dagster drops one, cursor and all, after a minute.
"""

from dagster import ScheduleDefinition, SensorDefinition

from mlplatform.crosscutting.settings import Settings
from mlplatform.offline.declared import Declared
from mlplatform.offline.sensors.alerts import alert_sensors
from mlplatform.offline.sensors.arrivals import source_data_available
from mlplatform.offline.sensors.deployments import deployment_changed
from mlplatform.offline.sensors.health import health_sensors
from mlplatform.offline.sensors.join import features_due
from mlplatform.offline.sensors.notifier import (
    features_generated,
    model_ready_for_deployment,
    raw_data_extracted,
    scoring_completed,
)
from mlplatform.offline.sensors.observation import monitoring_due
from mlplatform.offline.sensors.schedules import ingestion_schedules
from mlplatform.offline.sensors.streams import streams_archived
from mlplatform.offline.sensors.training import training_schedules, training_sensors


def sensors(declared: Declared, settings: Settings) -> list[SensorDefinition]:
    """Every sensor of a use case."""
    return [
        source_data_available(declared, settings),
        raw_data_extracted(declared, settings),
        features_due(declared, settings),
        features_generated(declared, settings),
        model_ready_for_deployment(declared, settings),
        scoring_completed(declared, settings),
        deployment_changed(declared, settings),
        monitoring_due(declared, settings),
        *alert_sensors(declared.name, settings),
        *health_sensors(declared.name, settings),
        *streams_archived(declared, settings),
        *training_sensors(declared, settings),
    ]


def schedules(declared: Declared) -> list[ScheduleDefinition]:
    """Every schedule of a use case."""
    return [*ingestion_schedules(declared), *training_schedules(declared)]
