"""Schedules: at the declared times the newest day of a data set is ingested, whatever messages say.

They must not decide what is new: the same content again is a no-op of the Raw Data Store.
"""

from datetime import UTC, timedelta

from dagster import DefaultScheduleStatus, RunRequest, ScheduleDefinition, ScheduleEvaluationContext, schedule
from dagster._utils.schedules import is_valid_cron_schedule

from mlplatform.errors import ConfigurationError
from mlplatform.offline.assets._shared import key
from mlplatform.offline.declared import Declared


def ingestion_schedules(declared: Declared) -> list[ScheduleDefinition]:
    """One schedule per data set that declares one."""
    return [_schedule(declared, name) for name, d in declared.config.data_sets.items() if d.schedule]


def _schedule(declared: Declared, data_set: str) -> ScheduleDefinition:
    cron = declared.config.data_sets[data_set].schedule
    if not is_valid_cron_schedule(cron):
        raise ConfigurationError(
            f"data_sets.{data_set}.schedule is {cron!r}; allowed: five fields of cron.",
            hint='Write for example "15 6 * * *": every day at 6:15 UTC.',
        )
    assets = [f"raw_{data_set}", *([data_set] if data_set in declared.tables else [])]
    keys = [key(declared, name) for name in assets]

    @schedule(
        name=f"{declared.name}_{data_set}_ingestion",
        cron_schedule=cron,
        execution_timezone="UTC",
        target=keys,
        default_status=DefaultScheduleStatus.RUNNING,
        description=f"Ingests the newest day of {data_set}.",
    )
    def ingestion(context: ScheduleEvaluationContext) -> RunRequest:
        moment = context.scheduled_execution_time
        day = (
            _newest(declared, moment.astimezone(UTC).date() - timedelta(days=1))
            if data_set in declared.daily
            else None
        )
        return RunRequest(
            run_key=f"{data_set} {moment:%Y-%m-%dT%H:%M}", asset_selection=keys, partition_key=day
        )

    return ingestion


def _newest(declared: Declared, yesterday: object) -> str:
    """Yesterday, or the last day that the use case has."""
    return min(str(yesterday), str(declared.config.days.last))
