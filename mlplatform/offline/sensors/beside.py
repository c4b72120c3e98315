"""Whether a run is at work already: what comes while it is, its successor takes in one go.

So runs do not pile up where news come faster than a run starts. It must not start anything.
"""

from collections.abc import Iterable
from datetime import date, timedelta

from dagster import AssetKey, DagsterInstance, RunsFilter
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES


def at_work(instance: DagsterInstance, asset: AssetKey) -> str | None:
    """The id of a run that makes this asset and is queued or not over; None if there is none."""
    for run in instance.get_runs(RunsFilter(statuses=NOT_FINISHED_STATUSES)):
        if asset in (run.asset_selection or ()):
            return run.run_id
    return None


def stretches(days: Iterable[str]) -> list[list[str]]:
    """Days, given in order, divided where one is missing."""
    found: list[list[str]] = []
    for day in days:
        if found and date.fromisoformat(day) - date.fromisoformat(found[-1][-1]) == timedelta(days=1):
            found[-1].append(day)
        else:
            found.append([day])
    return found
