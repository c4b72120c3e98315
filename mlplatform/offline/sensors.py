"""The sensors: messages that start runs, and runs that send messages.

Cursors are their own (Dagster's asset sensor drops partitions that finish within one tick). The event log is
the outbox: what it says is published with ids derived from it, so nothing is lost while the broker is away
and nothing counts twice.
"""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import msgspec
from dagster import (
    AssetRecordsFilter,
    AssetSelection,
    DefaultSensorStatus,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
    sensor,
)

from mlplatform.crosscutting.bus import Bus, envelope, event_id, open_bus
from mlplatform.crosscutting.bus.topics import (
    RAW_DATA_EXTRACTED,
    SOURCE_DATA_AVAILABLE,
    RawDataExtracted,
)
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import BusError
from mlplatform.offline.assets._shared import key
from mlplatform.offline.declared import Declared
from mlplatform.stores.lake import Lake

MOST = 500
"""Messages handled in one tick; the rest follows in the next."""


def source_data_available(declared: Declared, settings: Settings) -> SensorDefinition:
    """Message `source-data-available` in, one run per data set and day out (run key: the message's id)."""

    @sensor(
        name=f"{declared.name}_source_data_available",
        target=AssetSelection.assets(
            *(key(declared, f"raw_{name}") for name in declared.config.data_sets),
            *(key(declared, name) for name in declared.config.data_sets),
        ),
        minimum_interval_seconds=5,
        default_status=DefaultSensorStatus.RUNNING,
        description="Materialises the raw and cleaned data of a day when its source says it is there.",
    )
    def arrived(context: SensorEvaluationContext) -> Iterator[RunRequest | SkipReason]:
        after = int(context.cursor or 0)
        try:
            with closing(open_bus(settings.broker_url)) as bus:
                messages = bus.read(
                    SOURCE_DATA_AVAILABLE, after, MOST, on_unreadable=lambda *why: context.log.error(str(why))
                )
        except BusError as error:
            yield SkipReason(f"{error} {error.hint}")
            return
        for message in messages:
            data = message.envelope.data
            if data.use_case == declared.name:
                refused = _refusal(declared, data.data_set, data.partition)
                if refused:
                    context.log.error(refused)
                else:
                    yield _request(declared, data.data_set, data.partition, message.envelope.id)
            after = message.sequence
        context.update_cursor(str(after))

    return arrived


def _refusal(declared: Declared, data_set: str, partition: str | None) -> str:
    config = declared.config
    if data_set not in config.data_sets:
        return f"message for data set {data_set!r}; allowed: {', '.join(config.data_sets)}."
    if config.data_sets[data_set].daily and partition not in declared.days():
        return (
            f"message for {data_set!r}, day {partition!r}; allowed: {config.days.first} to "
            f"{config.days.last} (days in defs.yaml)."
        )
    return ""


def _request(declared: Declared, data_set: str, partition: str | None, message: str) -> RunRequest:
    return RunRequest(
        run_key=message,
        asset_selection=[key(declared, f"raw_{data_set}"), key(declared, data_set)],
        partition_key=partition if declared.config.data_sets[data_set].daily else None,
        tags={"mlplatform/message": message},
    )


def raw_data_extracted(declared: Declared, settings: Settings) -> SensorDefinition:
    """Materialised raw partitions in (from the event log), messages `raw-data-extracted` out."""

    @sensor(
        name=f"{declared.name}_raw_data_extracted",
        asset_selection=AssetSelection.assets(
            *(key(declared, f"raw_{n}") for n in declared.config.data_sets)
        ),
        minimum_interval_seconds=5,
        default_status=DefaultSensorStatus.RUNNING,
        description="Publishes each saved raw partition; what a broker outage held up follows later.",
    )
    def saved(context: SensorEvaluationContext) -> SkipReason:
        cursors: dict[str, int] = msgspec.json.decode(context.cursor or "{}", type=dict[str, int])
        published = 0
        try:
            with closing(open_bus(settings.broker_url)) as bus, closing(Lake.from_settings(settings)) as lake:
                for data_set in declared.config.data_sets:
                    for storage_id, record in _materialised(
                        context, declared, data_set, cursors.get(data_set)
                    ):
                        _publish(bus, lake, declared, data_set, record)
                        cursors[data_set] = storage_id
                        published += 1
        except BusError as error:
            return SkipReason(f"{error} {error.hint}")
        finally:
            context.update_cursor(msgspec.json.encode(cursors).decode())
        return SkipReason(f"{published} messages published")

    return saved


def _materialised(
    context: SensorEvaluationContext, declared: Declared, data_set: str, after: int | None
) -> Iterator[tuple[int, Any]]:
    fetched = context.instance.fetch_materializations(
        AssetRecordsFilter(asset_key=key(declared, f"raw_{data_set}"), after_storage_id=after),
        limit=MOST,
        ascending=True,
    )
    for record in fetched.records:
        yield record.storage_id, record


def _publish(bus: Bus, lake: Lake, declared: Declared, data_set: str, record: Any) -> None:
    table, partition = declared.table(f"raw_{data_set}"), record.partition_key
    rows = lake.read(table, columns=["batch_id"], partitions=None if partition is None else [partition])
    batches = rows["batch_id"].unique().sort().to_list()
    data = RawDataExtracted(
        use_case=declared.name,
        data_set=data_set,
        partition=partition,
        batch_id=batches[0] if batches else "",
        rows=rows.height,
        run_id=record.run_id,
    )
    name = event_id("raw-data-extracted", declared.name, data_set, partition or "", record.run_id)
    bus.publish(
        RAW_DATA_EXTRACTED,
        envelope(RAW_DATA_EXTRACTED, data, id=name, source=f"mlplatform/{declared.name}", subject=data_set),
    )
