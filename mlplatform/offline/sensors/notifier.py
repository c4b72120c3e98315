"""Materialised partitions in (from Dagster's event log), messages out.

The event log is the outbox: what it says is published with ids derived from it, so nothing is lost while the
broker is away and nothing counts twice. It must not start runs.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import msgspec
from dagster import (
    AssetRecordsFilter,
    AssetSelection,
    DefaultSensorStatus,
    EventLogRecord,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
    sensor,
)

from mlplatform.crosscutting.bus import Bus, Envelope, Topic, open_bus
from mlplatform.crosscutting.bus.scoring_messages import scored
from mlplatform.crosscutting.bus.topics import (
    FEATURES_GENERATED,
    MODEL_READY_FOR_DEPLOYMENT,
    RAW_DATA_EXTRACTED,
    SCORING_COMPLETED,
)
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import BusError
from mlplatform.offline.assets._champion import WINNER
from mlplatform.offline.assets._shared import key
from mlplatform.offline.declared import Declared
from mlplatform.offline.messages import Winner, extracted, generated, ready
from mlplatform.sources._contract import WHOLE
from mlplatform.stores.batch_scores import SCORES
from mlplatform.stores.champions import ChampionStore
from mlplatform.stores.lake import Lake
from mlplatform.stores.raw import RawStore

MOST = 500
"""Messages published in one tick; the rest follows in the next."""

Message = Callable[[EventLogRecord], Envelope[Any] | None]
Messages = Callable[[str, Sequence[EventLogRecord]], Message]
"""Of an asset and its new records: what makes the message of each (None: of this one there is none), having
looked up once what all need."""


def raw_data_extracted(declared: Declared, settings: Settings) -> SensorDefinition:
    """Saved raw partitions become messages `raw-data-extracted`."""

    def messages(asset: str, records: Sequence[EventLogRecord]) -> Message:
        data_set = asset.removeprefix("raw_")
        batches = _batches(declared, settings, data_set)

        def message(record: EventLogRecord) -> Envelope[Any]:
            batch, rows = batches.get(record.partition_key or WHOLE, ("unknown", 0))
            return extracted(declared, data_set, record.partition_key, record.run_id, batch, rows)

        return message

    assets = [f"raw_{name}" for name in declared.config.data_sets]
    said = "Publishes each saved raw partition; what a broker outage held up follows later."
    return _notifier(declared, settings, RAW_DATA_EXTRACTED, assets, messages, said)


def features_generated(declared: Declared, settings: Settings) -> SensorDefinition:
    """Partitions of features become messages `features-generated`."""

    def messages(asset: str, records: Sequence[EventLogRecord]) -> Message:
        days = sorted({record.partition_key for record in records if record.partition_key})
        with closing(Lake.from_settings(settings)) as lake:
            stored = lake.read(declared.table(asset), columns=["partition_key"], partitions=days)
        rows = dict(stored["partition_key"].value_counts().iter_rows())

        def message(record: EventLogRecord) -> Envelope[Any]:
            day = record.partition_key or WHOLE
            return generated(declared, day, record.run_id, rows.get(day, 0))

        return message

    said = "Publishes each day of features; what a broker outage held up follows later."
    return _notifier(declared, settings, FEATURES_GENERATED, ["features"], messages, said)


def model_ready_for_deployment(declared: Declared, settings: Settings) -> SensorDefinition:
    """Verdicts with a winner become messages `model-ready-for-deployment`."""

    def messages(asset: str, records: Sequence[EventLogRecord]) -> Message:
        versions = _versions(declared, settings)

        def message(record: EventLogRecord) -> Envelope[Any] | None:
            won = _winner(record)
            if won is None or record.partition_key is None:
                return None
            version = versions.get((won.digest, record.partition_key))
            return ready(declared, record.partition_key, record.run_id, won, version)

        return message

    said = "Publishes each winner of the champion rule; what a broker outage held up follows later."
    return _notifier(declared, settings, MODEL_READY_FOR_DEPLOYMENT, ["champion"], messages, said)


def scoring_completed(declared: Declared, settings: Settings) -> SensorDefinition:
    """Days scored by a run become messages `scoring-completed`; a request's are told by its service."""

    def messages(asset: str, records: Sequence[EventLogRecord]) -> Message:
        days = sorted({record.partition_key for record in records if record.partition_key})
        with closing(Lake.from_settings(settings)) as lake:
            stored = lake.read(declared.table(asset), columns=["partition_key"], partitions=days)
        rows = dict(stored["partition_key"].value_counts().iter_rows())

        def message(record: EventLogRecord) -> Envelope[Any] | None:
            made, day = record.asset_materialization, record.partition_key
            if made is None or day is None or not {"model", "version"} <= made.metadata.keys():
                return None
            model, version = made.metadata["model"].value, made.metadata["version"].value
            return scored(
                declared.name,
                day,
                record.run_id,
                model=str(model),
                version=int(str(version)),
                rows=rows.get(day, 0),
            )

        return message

    said = "Publishes each day of batch scores; what a broker outage held up follows later."
    return _notifier(declared, settings, SCORING_COMPLETED, [SCORES], messages, said)


def _notifier(
    declared: Declared,
    settings: Settings,
    topic: Topic[Any],
    assets: Sequence[str],
    messages: Messages,
    description: str,
) -> SensorDefinition:
    @sensor(
        name=f"{declared.name}_{topic.name.replace('-', '_')}",
        asset_selection=AssetSelection.assets(*(key(declared, asset) for asset in assets)),
        minimum_interval_seconds=5,
        default_status=DefaultSensorStatus.RUNNING,
        description=description,
    )
    def saved(context: SensorEvaluationContext) -> SkipReason:
        cursors: dict[str, int] = msgspec.json.decode(context.cursor or "{}", type=dict[str, int])
        published = 0
        try:
            for asset in assets:
                records = _materialised(context, declared, asset, cursors.get(asset), MOST // len(assets))
                for position, said in _published(settings, topic, records, lambda r: messages(asset, r)):  # noqa: B023
                    cursors[asset] = position
                    published += said
        except BusError as error:
            return SkipReason(f"{published} messages published, then: {error} {error.hint}")
        finally:
            context.update_cursor(msgspec.json.encode(cursors).decode())
        return SkipReason(f"{published} messages published.")

    return saved


def _materialised(
    context: SensorEvaluationContext, declared: Declared, asset: str, after: int | None, most: int
) -> Sequence[EventLogRecord]:
    return context.instance.fetch_materializations(
        AssetRecordsFilter(asset_key=key(declared, asset), after_storage_id=after),
        limit=max(1, most),
        ascending=True,
    ).records


def _published(
    settings: Settings,
    topic: Topic[Any],
    records: Sequence[EventLogRecord],
    messages: Callable[[Sequence[EventLogRecord]], Message],
) -> Iterator[tuple[int, bool]]:
    """Publish a message per record; gives the position behind each one when the broker has it, and whether
    there was one."""
    if not records:
        return
    bus: Bus
    with closing(open_bus(settings.broker_url)) as bus:
        message = messages(records)
        for record in records:
            said = message(record)
            if said is not None:
                bus.publish(topic, said)
            yield record.storage_id, said is not None


def _winner(record: EventLogRecord) -> Winner | None:
    """The winner of a verdict; None if there was none, or a version before this one made the verdict."""
    made = record.asset_materialization
    told = made.metadata.get(WINNER) if made else None
    return msgspec.convert(told.value, Winner) if told else None


def _versions(declared: Declared, settings: Settings) -> dict[tuple[str, str], int]:
    """The newest release of each digest and date of training."""
    if not settings.state_file_exists():
        return {}
    with closing(ChampionStore(settings.state_url)) as store:
        return {(each.digest, each.as_of): each.version for each in store.history(declared.name)}


def _batches(declared: Declared, settings: Settings, data_set: str) -> dict[str, tuple[str, int]]:
    """Batch id and rows of partitions as they are served now; one query, however many there are."""
    with closing(Lake.from_settings(settings)) as lake:
        manifests = RawStore.from_settings(settings, lake).manifests(declared.name, data_set)
    return {m.partition: (m.batch_id, m.rows) for m in manifests if m.current}
