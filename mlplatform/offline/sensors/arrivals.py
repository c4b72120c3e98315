"""The sensors: messages that start runs, and runs that send messages.

Cursors are their own (Dagster's asset sensor drops partitions that finish within one tick). The event log is
the outbox: what it says is published with ids derived from it, so nothing is lost while the broker is away
and nothing counts twice. A tick must not take long: Dagster drops one, cursor and all, after a minute.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing

import msgspec
import polars as pl
from dagster import (
    AssetRecordsFilter,
    AssetSelection,
    DefaultSensorStatus,
    EventLogRecord,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
    sensor,
)

from mlplatform.crosscutting.bus import Bus, Received, open_bus
from mlplatform.crosscutting.bus.topics import RAW_DATA_EXTRACTED, SOURCE_DATA_AVAILABLE, SourceDataAvailable
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import BusError
from mlplatform.offline.assets._shared import key
from mlplatform.offline.declared import Declared
from mlplatform.offline.messages import extracted, refusal
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
        try:
            messages, position = _arrivals(context, settings)
        except BusError as error:
            yield SkipReason(f"{error} {error.hint}")
            return
        requests = _requests(context, declared, messages)
        yield from requests
        if not requests:
            yield SkipReason(f"{len(messages)} new messages, none that starts a run.")
        context.update_cursor(str(position))

    return arrived


def _arrivals(
    context: SensorEvaluationContext, settings: Settings
) -> tuple[list[Received[SourceDataAvailable]], int]:
    """The messages behind the cursor, and the position behind them and behind what cannot be read."""
    skipped: list[int] = []

    def unreadable(sequence: int, error: BusError) -> None:
        skipped.append(sequence)
        context.log.error(f"Message {sequence} is skipped. {error} {error.hint}")

    after = int(context.cursor or 0)
    with closing(open_bus(settings.broker_url)) as bus:
        if bus.last(SOURCE_DATA_AVAILABLE) < after:
            after = 0  # the broker lost or dropped everything and counts anew; run keys catch repetitions
        messages = bus.read(SOURCE_DATA_AVAILABLE, after, MOST, on_unreadable=unreadable)
    return messages, max([after, *skipped, *(message.sequence for message in messages)])


def _requests(
    context: SensorEvaluationContext, declared: Declared, messages: Sequence[Received[SourceDataAvailable]]
) -> list[RunRequest]:
    requests = []
    for message in messages:
        data = message.envelope.data
        if data.use_case != declared.name:
            continue
        refused = refusal(declared, data.data_set, data.partition)
        if refused:
            context.log.error(f"Message {message.sequence} ({message.envelope.id}) is refused: {refused}")
        else:
            requests.append(_request(declared, data, message.envelope.id))
    return requests


def _request(declared: Declared, data: SourceDataAvailable, message: str) -> RunRequest:
    return RunRequest(
        run_key=message,
        asset_selection=[key(declared, f"raw_{data.data_set}"), key(declared, data.data_set)],
        partition_key=data.partition if data.data_set in declared.daily else None,
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
            for data_set in declared.config.data_sets:
                records = _materialised(context, declared, data_set, cursors.get(data_set))
                for position in _published(declared, settings, data_set, records):
                    cursors[data_set] = position
                    published += 1
        except BusError as error:
            return SkipReason(f"{published} messages published, then: {error} {error.hint}")
        finally:
            context.update_cursor(msgspec.json.encode(cursors).decode())
        return SkipReason(f"{published} messages published.")

    return saved


def _materialised(
    context: SensorEvaluationContext, declared: Declared, data_set: str, after: int | None
) -> Sequence[EventLogRecord]:
    return context.instance.fetch_materializations(
        AssetRecordsFilter(asset_key=key(declared, f"raw_{data_set}"), after_storage_id=after),
        limit=max(1, MOST // len(declared.config.data_sets)),
        ascending=True,
    ).records


def _published(
    declared: Declared, settings: Settings, data_set: str, records: Sequence[EventLogRecord]
) -> Iterator[int]:
    """Publish a message per record; gives the position behind each one when the broker has it."""
    if not records:
        return
    with closing(open_bus(settings.broker_url)) as bus:
        batches = _batches(declared, settings, data_set, [record.partition_key for record in records])
        for record in records:
            _publish(bus, declared, data_set, record, batches)
            yield record.storage_id


def _batches(
    declared: Declared, settings: Settings, data_set: str, partitions: Sequence[str | None]
) -> dict[str | None, tuple[str, int]]:
    """Batch id and rows of partitions as the lake has them now; one query, however many there are."""
    table, days = declared.table(f"raw_{data_set}"), [name for name in partitions if name is not None]
    with closing(Lake.from_settings(settings)) as lake:
        if not days:
            rows = lake.read(table, columns=["batch_id"])
            return {None: (rows["batch_id"].first() or "", rows.height)}  # type: ignore[dict-item]
        rows = lake.read(table, columns=["partition_key", "batch_id"], partitions=sorted(set(days)))
    grouped = rows.group_by("partition_key").agg(pl.col("batch_id").first(), pl.len())
    return {day: (batch, count) for day, batch, count in grouped.iter_rows()}


def _publish(
    bus: Bus,
    declared: Declared,
    data_set: str,
    record: EventLogRecord,
    batches: dict[str | None, tuple[str, int]],
) -> None:
    batch, rows = batches.get(record.partition_key, ("", 0))
    message = extracted(declared, data_set, record.partition_key, record.run_id, batch, rows)
    bus.publish(RAW_DATA_EXTRACTED, message)
