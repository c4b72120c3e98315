"""What the daemon of test_worker_kill.py loads: a job that hangs at its first attempt, started by a sensor.

Every attempt leaves a file in the folder MARKS: `<run id>` with its process id.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from dagster import (
    DefaultSensorStatus,
    Definitions,
    OpExecutionContext,
    RunRequest,
    SensorEvaluationContext,
    in_process_executor,
    job,
    op,
    sensor,
)


@op
def sleep(context: OpExecutionContext) -> None:
    """Hang, unless this is a retry."""
    marks = Path(os.environ["MARKS"])
    first = not list(marks.iterdir())
    half = marks.parent / context.run_id
    half.write_text(str(os.getpid()))
    half.rename(marks / context.run_id)
    while first:
        time.sleep(0.1)


@job(executor_def=in_process_executor)
def sleeping() -> None:
    """One op."""
    sleep()


@sensor(job=sleeping, minimum_interval_seconds=1, default_status=DefaultSensorStatus.RUNNING)
def once(context: SensorEvaluationContext) -> Iterator[RunRequest]:
    """Starts the job once."""
    yield RunRequest(run_key="once")


defs = Definitions(jobs=[sleeping], sensors=[once])
