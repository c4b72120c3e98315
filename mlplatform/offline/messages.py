"""What a use case says and understands on the bus: which arrivals it takes, and what it announces.

It must not import Dagster: the command line announces data with it in a moment.
"""

from mlplatform.crosscutting.bus import Envelope, envelope, event_id
from mlplatform.crosscutting.bus.topics import (
    RAW_DATA_EXTRACTED,
    SOURCE_DATA_AVAILABLE,
    RawDataExtracted,
    SourceDataAvailable,
)
from mlplatform.offline.declared import Declared

WHOLE = "all"
"""The partition named in messages about a data set that has none."""


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


def arrival(declared: Declared, data_set: str, partition: str, id: str) -> Envelope[SourceDataAvailable]:
    """Message that a delivery can be fetched; `id` is the delivery's own: told twice, it counts once."""
    data = SourceDataAvailable(use_case=declared.name, data_set=data_set, partition=partition)
    return envelope(SOURCE_DATA_AVAILABLE, data, id=id, source=_source(declared), subject=data_set)


def extracted(
    declared: Declared, data_set: str, partition: str | None, run_id: str, batch_id: str, rows: int
) -> Envelope[RawDataExtracted]:
    """Message that raw data is saved; its id says which run saved which partition of what.

    An empty delivery has no rows that carry its batch id, so its message gets one of its own.
    """
    named = (declared.name, data_set, partition or WHOLE)
    data = RawDataExtracted(
        use_case=declared.name,
        data_set=data_set,
        partition=partition or WHOLE,
        batch_id=batch_id or event_id("empty batch", *named)[:24],
        rows=rows,
        run_id=run_id,
    )
    id = event_id("raw-data-extracted", *named, run_id)
    return envelope(RAW_DATA_EXTRACTED, data, id=id, source=_source(declared), subject=data_set)


def _source(declared: Declared) -> str:
    return f"mlplatform/{declared.name}"
