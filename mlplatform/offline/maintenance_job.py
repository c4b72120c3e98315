"""The job `maintenance`, daily; one per deployment. It must not hold rules: `maintenance.py` does."""

from dagster import (
    DefaultScheduleStatus,
    JobDefinition,
    OpExecutionContext,
    ScheduleDefinition,
    in_process_executor,
    job,
    op,
)

from mlplatform.crosscutting.settings import Settings
from mlplatform.offline.maintenance import maintain
from mlplatform.offline.once import brings


def maintenance(use_case: str, settings: Settings) -> tuple[list[JobDefinition], list[ScheduleDefinition]]:
    """Job and schedule, for the first use case of the deployment that is loaded; none for the others."""
    if not brings(use_case, settings):
        return [], []

    @op(name="remove_left_over_files")
    def remove(context: OpExecutionContext) -> None:
        done = maintain(settings)
        context.add_output_metadata({"removed": len(done.removed), "bytes": done.bytes})

    @job(
        name="maintenance",
        executor_def=in_process_executor,
        description="Removes what killed processes left behind, and merges the lake's small files.",
    )
    def daily() -> None:
        remove()

    schedule = ScheduleDefinition(
        job=daily, cron_schedule="30 3 * * *", default_status=DefaultScheduleStatus.RUNNING
    )
    return [daily], [schedule]
