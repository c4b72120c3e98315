"""The topics of the platform and the data each carries: the one place that lists them.

Fields may be added with a default; anything else is a new version of the topic. It must not hold behaviour.
"""

from typing import Annotated, Any, Literal

import msgspec

from mlplatform.crosscutting.bus.contract import Envelope, Event, Instant, Text, Topic
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


class SourceEvent(Event, frozen=True, kw_only=True):
    """One event of a stream, as its sender wrote it; messages with one `partitionkey` stay in order."""

    stream: Text
    document: Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": "object"})]
    """The event's data, a JSON object; its bytes are not touched."""


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
    """A candidate has won by the champion rule as of a date."""

    model: Text
    digest: Text
    feature_set_id: Text
    as_of: Text
    why: Text
    figures: dict[str, float]
    """Those of the rule's metric, on the validation rows that decided and on the test rows."""
    version: Count | None = None
    """Of its release; None if it is not released yet."""
    run_id: Text


class DeploymentChanged(Event, frozen=True, kw_only=True):
    """An alias was moved to another version; `number` counts the use case's changes from 1, without gaps."""

    number: Annotated[int, msgspec.Meta(ge=1)]
    action: Literal["promote", "rollback", "canary", "shadow"]
    version: Count
    """The version that has the alias now; 0: it was taken away."""
    share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    """Part of the entities that a canary answers."""
    why: Text
    who: Text


class ScoringRequested(Event, frozen=True, kw_only=True):
    """Somebody wants batch scores of days; told twice, it is one request."""

    first: Text
    last: Text
    """Days (YYYY-MM-DD), both included."""
    version: Count | None = None
    """Of a release; None: the champion's."""
    callback: str | None = None
    """URL that is told of the end."""


class ScoringCompleted(Event, frozen=True, kw_only=True):
    """A partition of batch scores is committed to the lake."""

    partition: Text
    model: Text
    version: Text
    rows: Count
    run_id: Text


class ScoresServed(Event, frozen=True, kw_only=True):
    """Answers given online are committed to the lake's table `served`; the lake counts, this only tells soon.

    While no broker answers, messages wait in memory, and the oldest are dropped if they are too many.
    """

    partition: Text
    rows: Count
    versions: dict[str, Count]
    """Rows, those of a shadow included, by the number of the version that the answer names."""
    first_as_of: Instant | None = None
    last_as_of: Instant | None = None
    """The earliest and the latest time that was asked about; None where no answer has one."""
    lost: Count = 0
    """Answers of all use cases that the process which tells could not log since it began."""


class DeadLetter(Event, frozen=True, kw_only=True):
    """A message that its consumer could not handle or read; the original stays in its topic at `sequence`."""

    topic: Text
    consumer: Text
    sequence: Count
    reason: str
    attempts: Count
    """How often it was tried; 0 if it could not be decoded."""
    original: str
    """The message, without fields that its type does not have; base64 where `encoding` says so."""
    encoding: Literal["text", "base64"] = "text"
    truncated: bool = False
    """Whether `original` was too large and is only its beginning."""


class WebhookUndelivered(Event, frozen=True, kw_only=True):
    """A message could not be pushed to its receiver and was given up; the service's home keeps it."""

    message_id: Text
    """The header `webhook-id`."""
    url: Text
    reason: str
    attempts: Count
    original: str
    """The message's body; base64 where `encoding` says so."""
    encoding: Literal["text", "base64"] = "text"
    truncated: bool = False
    """Whether `original` was too large and is left out."""


class AlertRaised(Event, frozen=True, kw_only=True):
    """An alert was raised, became more severe, or is over; `use_case` is `platform` if it is of none."""

    number: Annotated[int, msgspec.Meta(ge=1)]
    """Counts the changes of all alerts from 1, without gaps."""
    action: Literal["raised", "worsened", "cleared"]
    kind: Text
    subject: Text
    severity: Literal["info", "warning", "critical"]
    cause: Text
    """One sentence that a person can read."""
    remedy: Text
    figures: dict[str, float] = msgspec.field(default_factory=dict)
    why: str = ""
    """Why it is over."""


SOURCE_DATA_AVAILABLE = Topic("source-data-available", SourceDataAvailable, Envelope[SourceDataAvailable])
SOURCE_EVENT = Topic("source-event", SourceEvent, Envelope[SourceEvent])
RAW_DATA_EXTRACTED = Topic("raw-data-extracted", RawDataExtracted, Envelope[RawDataExtracted])
FEATURES_GENERATED = Topic("features-generated", FeaturesGenerated, Envelope[FeaturesGenerated])
MODEL_READY_FOR_DEPLOYMENT = Topic(
    "model-ready-for-deployment", ModelReadyForDeployment, Envelope[ModelReadyForDeployment], version=2
)
DEPLOYMENT_CHANGED = Topic("deployment-changed", DeploymentChanged, Envelope[DeploymentChanged])
SCORING_REQUESTED = Topic("scoring-requested", ScoringRequested, Envelope[ScoringRequested])
SCORING_COMPLETED = Topic("scoring-completed", ScoringCompleted, Envelope[ScoringCompleted])
SCORES_SERVED = Topic("scores-served", ScoresServed, Envelope[ScoresServed])
DEAD_LETTER = Topic("dead-letter", DeadLetter, Envelope[DeadLetter])
WEBHOOK_UNDELIVERED = Topic("webhook-undelivered", WebhookUndelivered, Envelope[WebhookUndelivered])
ALERT_RAISED = Topic("alert-raised", AlertRaised, Envelope[AlertRaised])

TOPICS: dict[str, Topic[Any]] = {
    topic.name: topic
    for topic in (
        SOURCE_DATA_AVAILABLE,
        SOURCE_EVENT,
        RAW_DATA_EXTRACTED,
        FEATURES_GENERATED,
        MODEL_READY_FOR_DEPLOYMENT,
        DEPLOYMENT_CHANGED,
        SCORING_REQUESTED,
        SCORING_COMPLETED,
        SCORES_SERVED,
        DEAD_LETTER,
        WEBHOOK_UNDELIVERED,
        ALERT_RAISED,
    )
}


def topic_named(name: str) -> Topic[Any]:
    """Topic of that name; raises BusError with the allowed names if there is none."""
    if name not in TOPICS:
        raise BusError(f"There is no topic {name!r}.", hint=f"Topics are {', '.join(TOPICS)}.")
    return TOPICS[name]
