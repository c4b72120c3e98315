"""Which training could be made now: the newest date whose split is complete, and what is new for it.

It must not start anything, nor read data: what is there, the event log says.
"""

import os
from bisect import bisect_right
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import polars as pl
from dagster import (
    AssetKey,
    AssetRecordsFilter,
    DagsterInstance,
    DagsterRunStatus,
    RunRecord,
    RunsFilter,
)
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

from mlplatform.errors import ConfigurationError
from mlplatform.offline.assets._shared import key
from mlplatform.offline.declared import Declared
from mlplatform.offline.plan import made_by, steps
from mlplatform.offline.plugged import split_options
from mlplatform.offline.run_tags import PROCESS_TAG
from mlplatform.stages.segregation import strategies

BEYOND = timedelta(days=3 * 366)
"""How far behind the last day a split may reach and still be told apart from one that has all its days."""
_AT_WORK = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
]
_LONGEST = timedelta(days=1)
"""A run that began earlier and did not end was killed with its machine."""


@dataclass(frozen=True)
class Due:
    """A training that could be made: as of a date, of these assets."""

    date: str
    assets: tuple[AssetKey, ...]

    @property
    def candidates(self) -> tuple[AssetKey, ...]:
        """The assets that train."""
        return tuple(asset for asset in self.assets if asset.path[-1].startswith("candidate_"))


def due(declared: Declared, instance: DagsterInstance, graph: AssetGraph) -> Due | str:
    """The newest training that could be made, or a sentence why there is none."""
    features, champion = key(declared, "features"), key(declared, "champion")
    if instance.get_latest_materialization_event(champion) is None:
        return "No model was trained here yet; `mlplatform run` trains the first ones."
    if made_of(instance, features) != graph.get(features).code_version:
        return "The features were made by another version of their code; `mlplatform run` makes them again."
    if (busy := at_work(declared, instance)) is not None:
        return f"Run {busy[:8]} is at work."
    newest = newest_date(declared, instance.get_materialized_partitions(features))
    if newest is None:
        return (
            f"No date from {declared.config.split.as_of} on has features for "
            f"{declared.config.training.complete:.0%} of the days that its split needs."
        )
    return Due(newest, training_assets(declared))


def training_assets(declared: Declared) -> tuple[AssetKey, ...]:
    """The assets of one training, from the split to the release."""
    split = key(declared, "split")
    return next(step.assets for step in steps(declared) if split in step.assets)


def newest_date(declared: Declared, there: Collection[str]) -> str | None:
    """The newest date of training, the declared one or later, whose parts have features of nearly every day.

    Parameters
    ----------
    there: the days that have features.
    """
    config = declared.config
    if not there:
        return None
    last = max(there)
    dates = declared.days(first=config.split.as_of)
    # A later date never reaches less far, so the dates that are in reach come first.
    place = bisect_right(dates, last, key=lambda day: max(_needed(declared, day, last), default=last))
    if not place:
        return None
    needed = _needed(declared, dates[place - 1], last)
    have = sum(day in set(there) for day in needed)
    return dates[place - 1] if needed and have >= config.training.complete * len(needed) else None


def stale(due: Due, instance: DagsterInstance, graph: AssetGraph) -> dict[AssetKey, str]:
    """Its assets that the date lacks or has from another version of their code; with the version declared."""
    versions = {asset: str(graph.get(asset).code_version) for asset in due.assets}
    return {
        asset: version for asset, version in versions.items() if made_by(asset, due.date, instance) != version
    }


def news(declared: Declared, due: Due, instance: DagsterInstance, graph: AssetGraph) -> str:
    """Why a training would not only repeat what is there; empty if it would."""
    if lacking := stale(due, instance, graph):
        return f"{', '.join(asset.path[-1] for asset in lacking)} not there as declared"
    trained = min(_position(instance, asset, due.date) for asset in due.candidates)
    built = _position(instance, key(declared, "features"))
    return "features are newer than the models" if built > trained else ""


def made_of(instance: DagsterInstance, asset: AssetKey) -> str | None:
    """The code version of an asset's latest materialisation."""
    return instance.get_latest_materialization_code_versions([asset]).get(asset)


def at_work(declared: Declared, instance: DagsterInstance) -> str | None:
    """The id of a run that trains this use case, or that `mlplatform run` makes; None if there is none."""
    champion = key(declared, "champion")
    for record in instance.get_run_records(RunsFilter(statuses=_AT_WORK)):
        run = record.dagster_run
        trains = champion in (run.asset_selection or ())
        if (trains or PROCESS_TAG in run.tags) and _lives(record):
            return run.run_id
    return None


def _lives(record: RunRecord) -> bool:
    process = record.dagster_run.tags.get(PROCESS_TAG, "")
    if process.isdigit():
        try:
            os.kill(int(process), 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
    began = record.create_timestamp
    return datetime.now(UTC) - began.replace(tzinfo=began.tzinfo or UTC) < _LONGEST


def _position(instance: DagsterInstance, asset: AssetKey, partition: str | None = None) -> int:
    """Where in the event log the newest materialisation is; 0: nowhere."""
    wanted = AssetRecordsFilter(asset_key=asset, asset_partitions=[partition] if partition else None)
    records = instance.fetch_materializations(wanted, limit=1).records
    return records[0].storage_id if records else 0


def _needed(declared: Declared, as_of: str, last: str) -> list[str]:
    """The days that a split as of a date puts into a part, those that are not there yet among them.

    A strategy that heeds no date takes every day up to the last one. The declared date makes do with the
    days that the use case has, as `mlplatform run` does.
    """
    strategy = strategies.find(declared.config.split.strategy)
    known = [day for day in declared.days() if day <= max(last, as_of)]
    if "as_of" not in strategy.takes:
        return known
    calendar = declared.days(last=declared.config.days.last + BEYOND)
    sure = as_of == str(declared.config.split.as_of)
    try:
        found = _in_a_part(declared, strategy, as_of, calendar)
        return [day for day in found if day <= str(declared.config.days.last)] if sure else found
    except ConfigurationError:  # it reads more of a row than its day; only the declared date is sure
        return known if sure else [*known, str(date.fromisoformat(last) + timedelta(days=1))]


def _in_a_part(
    declared: Declared, strategy: strategies.Strategy, as_of: str, calendar: list[str]
) -> list[str]:
    spine, label = declared.feature_set.spine, declared.config.target
    columns = [name for name in (*spine.key, *([label] if label else [])) if name != "partition_key"]
    frame = pl.DataFrame({"partition_key": calendar}).with_columns(
        pl.lit(None, pl.String).alias(name) for name in columns
    )
    parts = strategies.parts_of(strategy, frame, split_options(declared, as_of), spine.key, label)
    return frame.filter(parts.is_not_null())["partition_key"].to_list()
