"""Join: once the cleaned data sets of a day are all there, and one of them is new, its features are built.

It must not read data: what is there and what is new, the event log says.
"""

from collections.abc import Iterator, Sequence

import msgspec
from dagster import (
    AssetKey,
    AssetRecordsFilter,
    DagsterInstance,
    DefaultSensorStatus,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
    sensor,
)
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
)

from mlplatform.crosscutting.bus import event_id
from mlplatform.crosscutting.settings import Settings
from mlplatform.offline.assets._shared import key
from mlplatform.offline.assets.replication import replicated_key
from mlplatform.offline.declared import Declared
from mlplatform.offline.sensors.beside import at_work, stretches

MOST = 500
"""Events of a data set looked at in one tick; the rest follows in the next."""


class _Cursor(msgspec.Struct):
    """Behind which event of each data set to go on, and days of which some data sets are still missing."""

    positions: dict[str, int] = {}
    waiting: dict[str, dict[str, int]] = {}
    """Day -> data set -> the event that told of its newest materialisation."""


def features_due(declared: Declared, settings: Settings) -> SensorDefinition:
    """Complete days with something new in, a run of `features` per stretch out (run key: the inputs' events).

    Where several services share an online store, the run tells it the day's rows too.
    """
    names = [name for name in declared.feature_tables if name in declared.daily]
    features, replicated = key(declared, "features"), replicated_key(declared, settings)

    @sensor(
        name=f"{declared.name}_features_due",
        asset_selection=[features, *replicated],
        minimum_interval_seconds=5,
        default_status=DefaultSensorStatus.RUNNING,
        description=f"Builds a day's features once {' and '.join(names)} are there.",
    )
    def due(context: SensorEvaluationContext) -> Iterator[RunRequest | SkipReason]:
        if (busy := at_work(context.instance, features)) is not None:
            yield SkipReason(f"Run {busy[:8]} is at work; what came meanwhile is built after it, in one run.")
            return
        cursor = msgspec.json.decode(context.cursor or "{}", type=_Cursor)
        own: dict[str, bool] = {}
        for name in names:
            _note(context.instance, declared, name, cursor, own)
        complete = _complete(context.instance, names, cursor, declared)
        requests = [
            _request([features, *replicated], {day: complete[day] for day in stretch})
            for stretch in stretches(complete)
        ]
        for day in complete:
            del cursor.waiting[day]
        yield from requests
        if not requests:
            yield SkipReason(f"No day is complete; {len(cursor.waiting)} wait for the rest of their data.")
        context.update_cursor(msgspec.json.encode(cursor).decode())

    return due


def _note(
    instance: DagsterInstance, declared: Declared, name: str, cursor: _Cursor, own: dict[str, bool]
) -> None:
    """Write down the days a data set has new rows for, but those whose own run builds the features too."""
    records = instance.fetch_materializations(
        AssetRecordsFilter(asset_key=key(declared, name), after_storage_id=cursor.positions.get(name)),
        limit=MOST,
        ascending=True,
    ).records
    for record in records:
        cursor.positions[name] = record.storage_id
        if record.run_id not in own:
            own[record.run_id] = _builds(instance, record.run_id, key(declared, "features"))
        if record.partition_key and not own[record.run_id]:
            cursor.waiting.setdefault(record.partition_key, {})[name] = record.storage_id


def _builds(instance: DagsterInstance, run_id: str, features: AssetKey) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is not None and features in (run.asset_selection or ())


def _complete(
    instance: DagsterInstance, names: Sequence[str], cursor: _Cursor, declared: Declared
) -> dict[str, dict[str, int]]:
    """Days of which every data set is there, some of them from before; in order."""
    there = (
        {name: instance.get_materialized_partitions(key(declared, name)) for name in names}
        if cursor.waiting
        else {}
    )
    return {
        day: told for day, told in sorted(cursor.waiting.items()) if all(day in there[name] for name in names)
    }


def _request(assets: list[AssetKey], told: dict[str, dict[str, int]]) -> RunRequest:
    """A run of one day, or of consecutive days together; a run starts in seconds, a day is built in less."""
    days = list(told)
    if len(days) == 1:
        run_key = event_id("features", days[0], *_parts(told[days[0]]))
        return RunRequest(run_key=run_key, asset_selection=assets, partition_key=days[0])
    parts = [f"{day} {part}" for day in days for part in _parts(told[day])]
    return RunRequest(
        run_key=event_id("features", days[0], days[-1], *parts),
        asset_selection=assets,
        tags={ASSET_PARTITION_RANGE_START_TAG: days[0], ASSET_PARTITION_RANGE_END_TAG: days[-1]},
    )


def _parts(told: dict[str, int]) -> list[str]:
    return [f"{name}={event}" for name, event in sorted(told.items())]
