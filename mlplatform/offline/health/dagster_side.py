"""What Dagster's own instance tells: whether its daemons beat, and which runs failed lately.

The instance is read, nothing is started. It must not judge what a run made.
"""

from datetime import datetime, timedelta

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG

from mlplatform.offline.health.part import Part, ago, several

SILENT = timedelta(seconds=120)
"""A daemon beats every 30 s; Dagster itself waits for half an hour, which is long for who asks now."""
LATELY = timedelta(hours=24)
_MOST = 500
_SHOWN = 5
_START = "Start it with `mlplatform up`."


def daemons(instance: DagsterInstance | None, now: datetime) -> Part:
    """Heartbeats of every daemon that the instance needs; None: there is no instance yet."""
    if instance is None:
        return Part(name="Dagster daemons", state="problem", said="never ran here", remedy=_START)
    beats: dict[str, float] = {}
    for name, status in instance.get_daemon_statuses().items():
        beat = status.last_heartbeat
        beats[name] = now.timestamp() - beat.timestamp if beat else float("inf")
    silent = sorted(name for name, seconds in beats.items() if seconds > SILENT.total_seconds())
    told = [f"{name.lower()}: {_beat(seconds)}" for name, seconds in sorted(beats.items())]
    return Part(
        name="Dagster daemons",
        state="problem" if silent else "ok",
        said=_silent(silent, beats) if silent else _beating(beats),
        remedy=_START if silent else "",
        figures={f"{n.lower()} seconds": round(s, 1) for n, s in beats.items() if s != float("inf")},
        details=tuple(told),
    )


def failed_runs(instance: DagsterInstance | None, now: datetime) -> Part:
    """Runs that failed within 24 hours and were not followed by a retry; the newest first."""
    if instance is None:
        return Part(name="runs", state="ok", said="no run yet")
    limit = RunsFilter(statuses=[DagsterRunStatus.FAILURE], updated_after=now - LATELY)
    failed = [record.dagster_run for record in instance.get_run_records(limit, limit=_MOST)]
    left = [run for run in failed if AUTO_RETRY_RUN_ID_TAG not in run.tags]
    retried = len(failed) - len(left)
    return Part(
        name="runs",
        state="warning" if left else "ok",
        said=f"{len(left)} failed in the last 24 hours"
        + (f", {retried} more were retried" if retried else ""),
        remedy="Read why and re-execute them in the Dagster UI, under Runs." if left else "",
        figures={"failed": len(left), "retried": retried},
        details=tuple(_told(run) for run in left[:_SHOWN]),
    )


def _beat(seconds: float) -> str:
    return "no beat yet" if seconds == float("inf") else f"last beat {ago(seconds)} ago"


def _beating(beats: dict[str, float]) -> str:
    longest = ago(max(beats.values(), default=0.0))
    return f"{several(len(beats), 'daemon')} beat, none is silent for more than {longest}"


def _silent(silent: list[str], beats: dict[str, float]) -> str:
    if len(silent) == len(beats):
        newest = min(beats.values())
        return "not running" + (f", last beat {ago(newest)} ago" if newest != float("inf") else "")
    return f"no beat for {ago(SILENT.total_seconds())} of {', '.join(silent).lower()}"


def _told(run: DagsterRun) -> str:
    partition = run.tags.get("dagster/partition", "")
    return f"run {run.run_id[:8]} of {run.job_name}{f', {partition}' if partition else ''}"
