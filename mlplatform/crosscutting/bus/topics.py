"""The topics of the platform and the data each carries: the one place that lists them.

Fields may be added with a default; anything else is a new version of the topic. It must not hold behaviour.
"""

from typing import Annotated, Any

import msgspec

from mlplatform.crosscutting.bus.contract import Envelope, Event, Text, Topic
from mlplatform.errors import BusError

Count = Annotated[int, msgspec.Meta(ge=0)]


class SourceDataAvailable(Event, frozen=True, kw_only=True):
    """A delivery of one data set's partition can be fetched."""

    data_set: Text
    partition: Text
    uri: str | None = None
    rows: Count | None = None
    sha256: str | None = None
    schema_version: str | None = None


class RawDataExtracted(Event, frozen=True, kw_only=True):
    """A partition of raw data is committed to the lake."""

    data_set: Text
    partition: Text
    batch_id: Text
    rows: Count
    run_id: Text


class FeaturesGenerated(Event, frozen=True, kw_only=True):
    """A partition of the feature set is committed to the lake."""

    feature_set_id: Text
    partition: Text
    rows: Count
    run_id: Text


class ModelReadyForDeployment(Event, frozen=True, kw_only=True):
    """A candidate has become champion."""

    model: Text
    version: Text
    digest: Text
    feature_set_id: Text
    run_id: Text


class ScoringCompleted(Event, frozen=True, kw_only=True):
    """A partition of batch scores is committed to the lake."""

    partition: Text
    model: Text
    version: Text
    rows: Count
    run_id: Text


SOURCE_DATA_AVAILABLE = Topic("source-data-available", SourceDataAvailable, Envelope[SourceDataAvailable])
RAW_DATA_EXTRACTED = Topic("raw-data-extracted", RawDataExtracted, Envelope[RawDataExtracted])
FEATURES_GENERATED = Topic("features-generated", FeaturesGenerated, Envelope[FeaturesGenerated])
MODEL_READY_FOR_DEPLOYMENT = Topic(
    "model-ready-for-deployment", ModelReadyForDeployment, Envelope[ModelReadyForDeployment]
)
SCORING_COMPLETED = Topic("scoring-completed", ScoringCompleted, Envelope[ScoringCompleted])

TOPICS: dict[str, Topic[Any]] = {
    topic.name: topic
    for topic in (
        SOURCE_DATA_AVAILABLE,
        RAW_DATA_EXTRACTED,
        FEATURES_GENERATED,
        MODEL_READY_FOR_DEPLOYMENT,
        SCORING_COMPLETED,
    )
}


def topic_named(name: str) -> Topic[Any]:
    """Topic of that name; raises BusError with the allowed names if there is none."""
    if name not in TOPICS:
        raise BusError(f"There is no topic {name!r}.", hint=f"Topics are {', '.join(TOPICS)}.")
    return TOPICS[name]
