"""New answers and new outcomes in, one run of the monitoring assets per stretch of days out.

What changed is told by counts: of the answers to questions of each day, and by the event log of the table
that has the outcomes. It must not read an answer or an outcome itself.
"""

from collections.abc import Iterator
from contextlib import closing
from datetime import date, timedelta

import msgspec
from dagster import (
    AssetRecordsFilter,
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
from mlplatform.offline.assets.observation import NAMES
from mlplatform.offline.declared import Declared
from mlplatform.offline.observed import Where
from mlplatform.offline.partitions import observed_days
from mlplatform.offline.sensors.beside import at_work, stretches
from mlplatform.stores.lake import Lake
from mlplatform.stores.served import SERVED

_EPOCH = date(1970, 1, 1)
MOST = 500
"""Events of the outcomes' table looked at in one tick; the rest follows in the next."""


class _Cursor(msgspec.Struct):
    """How many answers each day had, and behind which event of the outcomes' table to go on."""

    answers: dict[str, int] = {}
    position: int = 0


def monitoring_due(declared: Declared, settings: Settings) -> SensorDefinition:
    """Days with new answers, or with answers and new outcomes, are joined, summed up and judged."""
    assets = [key(declared, name) for name in NAMES]

    @sensor(
        name=f"{declared.name}_monitoring_due",
        asset_selection=assets,
        minimum_interval_seconds=10,
        default_status=DefaultSensorStatus.RUNNING,
        description="Joins answers with outcomes that came, and judges the champion.",
    )
    def due(context: SensorEvaluationContext) -> Iterator[RunRequest | SkipReason]:
        if (busy := at_work(context.instance, assets[-1])) is not None:
            yield SkipReason(f"Run {busy[:8]} is at work; what came meanwhile is looked at after it.")
            return
        cursor = msgspec.json.decode(context.cursor or "{}", type=_Cursor)
        answers = answers_by_day(declared, settings)
        changed = {day for day, count in answers.items() if cursor.answers.get(day) != count}
        came, position = _outcomes(context, declared, cursor.position)
        touched = {day for each in came for day in _around(each)} & set(answers)
        days = sorted((changed | touched) & set(observed_days(declared).get_partition_keys()))
        for stretch in stretches(days):
            counts = [f"{day}={answers.get(day, 0)}" for day in stretch]
            yield RunRequest(
                run_key=event_id("monitoring", declared.name, str(position), *counts),
                asset_selection=assets,
                tags={
                    ASSET_PARTITION_RANGE_START_TAG: stretch[0],
                    ASSET_PARTITION_RANGE_END_TAG: stretch[-1],
                },
            )
        if not days:
            yield SkipReason(f"No new answer and no new outcome; {sum(answers.values()):,} answers so far.")
        context.update_cursor(msgspec.json.encode(_Cursor(answers, position)).decode())

    return due


def answers_by_day(declared: Declared, settings: Settings) -> dict[str, int]:
    """Rows of the table `served` by the UTC day of their question."""
    if not settings.lake_catalog.exists():
        return {}
    table = declared.table(SERVED)
    with closing(Lake.from_settings(settings)) as lake:
        if not lake.exists(table):
            return {}
        counted = lake.sql(
            "SELECT epoch_us(as_of) // 86400000000 AS day, count(*) AS n "
            f'FROM "{table.schema}"."{table.name}"'
            " WHERE as_of IS NOT NULL GROUP BY 1"
        )
    return {str(_EPOCH + timedelta(days=day)): count for day, count in counted.iter_rows()}


def _outcomes(context: SensorEvaluationContext, declared: Declared, after: int) -> tuple[set[str], int]:
    """Partitions of the outcomes' table that were made since, and the position behind them."""
    where = Where.of(declared)
    if where is None:
        return set(), after
    records = context.instance.fetch_materializations(
        AssetRecordsFilter(asset_key=key(declared, where.table), after_storage_id=after or None),
        limit=MOST,
        ascending=True,
    ).records
    position = max([after, *(record.storage_id for record in records)])
    return {record.partition_key for record in records if record.partition_key}, position


def _around(day: str) -> list[str]:
    """UTC days that questions of a row's day can be of."""
    middle = date.fromisoformat(day)
    return [str(middle + timedelta(days=off)) for off in (-1, 0, 1)]
