"""What a use case says and understands on the bus: which arrivals it takes, and what it announces.

It must not import Dagster: the command line announces data with it in a moment.
"""

import msgspec

from mlplatform.crosscutting.bus import Envelope, envelope, event_id
from mlplatform.crosscutting.bus.topics import (
    DEPLOYMENT_CHANGED,
    FEATURES_GENERATED,
    MODEL_READY_FOR_DEPLOYMENT,
    RAW_DATA_EXTRACTED,
    SOURCE_DATA_AVAILABLE,
    DeploymentChanged,
    FeaturesGenerated,
    ModelReadyForDeployment,
    RawDataExtracted,
    SourceDataAvailable,
)
from mlplatform.crosscutting.tracing import of_run
from mlplatform.offline.declared import Declared
from mlplatform.sources._contract import WHOLE
from mlplatform.stages.deployment.alias import Change


class Winner(msgspec.Struct, frozen=True, kw_only=True):
    """What the champion rule chose; `figures` are those of its metric, by part."""

    model: str
    digest: str
    feature_set_id: str
    why: str
    figures: dict[str, float]


def refusal(declared: Declared, data_set: str, partition: str) -> str:
    """Why a use case does not take data of this data set and partition; empty if it does."""
    config = declared.config
    if data_set not in config.data_sets:
        return f"got data set {data_set!r}; allowed: {', '.join(config.data_sets)}."
    if not config.data_sets[data_set].daily:
        wrong = partition != WHOLE
        return f"got {partition!r} for {data_set!r}, which has no days; allowed: {WHOLE}." if wrong else ""
    if partition not in declared.days():
        return (
            f"got day {partition!r} for {data_set!r}; allowed: {config.days.first} to {config.days.last}, "
            "written YYYY-MM-DD."
        )
    return ""


def arrival(
    declared: Declared,
    data_set: str,
    partition: str,
    id: str,
    *,
    uri: str | None = None,
    rows: int | None = None,
    sha256: str | None = None,
    schema_version: str | None = None,
) -> Envelope[SourceDataAvailable]:
    """Message that a delivery can be fetched; `id` is the delivery's own: told twice, it counts once.

    The other values are what ingestion holds the delivery to; None: nothing is said.
    """
    data = SourceDataAvailable(
        use_case=declared.name,
        data_set=data_set,
        partition=partition,
        uri=uri,
        rows=rows,
        sha256=sha256,
        schema_version=schema_version,
    )
    return envelope(SOURCE_DATA_AVAILABLE, data, id=id, source=_source(declared), subject=data_set)


def extracted(
    declared: Declared, data_set: str, partition: str | None, run_id: str, batch_id: str, rows: int
) -> Envelope[RawDataExtracted]:
    """Message that raw data is saved; its id says which run saved which partition of what."""
    named = (declared.name, data_set, partition or WHOLE)
    data = RawDataExtracted(
        use_case=declared.name,
        data_set=data_set,
        partition=partition or WHOLE,
        batch_id=batch_id,
        rows=rows,
        run_id=run_id,
    )
    id = event_id("raw-data-extracted", *named, run_id)
    return envelope(
        RAW_DATA_EXTRACTED,
        data,
        id=id,
        source=_source(declared),
        subject=data_set,
        traceparent=of_run(run_id),
    )


def generated(declared: Declared, partition: str, run_id: str, rows: int) -> Envelope[FeaturesGenerated]:
    """Message that a day's features are saved; its id says which run saved it."""
    data = FeaturesGenerated(
        use_case=declared.name,
        feature_set_id=declared.feature_set.id,
        partition=partition,
        rows=rows,
        run_id=run_id,
    )
    id = event_id(FEATURES_GENERATED.name, declared.name, partition, run_id)
    return envelope(
        FEATURES_GENERATED,
        data,
        id=id,
        source=_source(declared),
        subject=partition,
        traceparent=of_run(run_id),
    )


def ready(
    declared: Declared, as_of: str, run_id: str, won: Winner, version: int | None
) -> Envelope[ModelReadyForDeployment]:
    """Message that a candidate won; its id says which run chose it. `version` is that of its release."""
    data = ModelReadyForDeployment(
        use_case=declared.name,
        as_of=as_of,
        version=version,
        run_id=run_id,
        **msgspec.structs.asdict(won),
    )
    id = event_id(MODEL_READY_FOR_DEPLOYMENT.name, declared.name, as_of, run_id)
    return envelope(
        MODEL_READY_FOR_DEPLOYMENT,
        data,
        id=id,
        source=_source(declared),
        subject=won.model,
        traceparent=of_run(run_id),
    )


def deployment_changed(change: Change) -> Envelope[DeploymentChanged]:
    """Message that an alias was moved; its id says which change of which use case it is."""
    data = DeploymentChanged(
        use_case=change.use_case,
        number=change.number,
        action=change.action,
        version=change.version,
        share=change.share,
        why=change.why or "no reason was given",
        who=change.changed_by or "unknown",
    )
    return envelope(
        DEPLOYMENT_CHANGED,
        data,
        id=event_id(DEPLOYMENT_CHANGED.name, change.use_case, change.number),
        source=f"mlplatform/{change.use_case}",
        subject=change.action,
        time=change.changed_at,
    )


def _source(declared: Declared) -> str:
    return f"mlplatform/{declared.name}"
