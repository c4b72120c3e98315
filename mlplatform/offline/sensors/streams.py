"""Archived batches of event streams in (from their manifests), events of Dagster's log out."""

from contextlib import closing

import msgspec
from dagster import (
    AssetMaterialization,
    DefaultSensorStatus,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from mlplatform.crosscutting.settings import Settings
from mlplatform.offline.assets._shared import key
from mlplatform.offline.declared import Declared
from mlplatform.stores.batches import Manifest
from mlplatform.stores.lake import Lake
from mlplatform.stores.raw import RawStore

MOST = 200
"""Batches reported in one tick; the rest follows in the next."""


def streams_archived(declared: Declared, settings: Settings) -> list[SensorDefinition]:
    """One sensor for all streams of a use case; none where it has none."""
    if not declared.config.streams:
        return []

    @sensor(
        name=f"{declared.name}_streams_archived",
        minimum_interval_seconds=30,
        default_status=DefaultSensorStatus.RUNNING,
        description="Shows what the online ingestion service archived.",
    )
    def archived(context: SensorEvaluationContext) -> SensorResult | SkipReason:
        cursor: dict[str, str] = msgspec.json.decode(context.cursor or "{}", type=dict[str, str])
        events = []
        with closing(Lake.from_settings(settings)) as lake:
            store = RawStore.from_settings(settings, lake)
            for stream in declared.config.streams:
                new = _behind(store.manifests(declared.name, stream), cursor.get(stream, ""))
                events += [_event(declared, manifest) for manifest in new]
                cursor[stream] = new[-1].partition if new else cursor.get(stream, "")
        if not events:
            return SkipReason("No new batch.")
        return SensorResult(asset_events=events, cursor=msgspec.json.encode(cursor).decode())

    return [archived]


def _behind(manifests: list[Manifest], partition: str) -> list[Manifest]:
    """Batches behind the one reported last, in the order of the stream."""
    return sorted((m for m in manifests if m.partition > partition), key=lambda m: m.partition)[:MOST]


def _event(declared: Declared, manifest: Manifest) -> AssetMaterialization:
    return AssetMaterialization(
        key(declared, f"raw_{manifest.data_set}"),
        metadata={
            "rows_written": manifest.rows,
            "batch": manifest.batch_id,
            "positions": manifest.partition,
            "events from": str(manifest.event_from),
            "events until": str(manifest.event_until),
            "bytes": manifest.bytes,
        },
    )
