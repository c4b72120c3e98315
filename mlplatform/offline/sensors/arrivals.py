"""Message `source-data-available` in, one run per data set and day out.

A message may say where the delivery is and what it must be; the run is told by tags, and ingestion refuses
what is otherwise. It must not open deliveries.
"""

from collections.abc import Iterator, Sequence
from urllib.parse import unquote, urlsplit

from dagster import (
    AssetSelection,
    DefaultSensorStatus,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
    sensor,
)

from mlplatform.crosscutting.bus import Received
from mlplatform.crosscutting.bus.topics import SOURCE_DATA_AVAILABLE, SourceDataAvailable
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import BusError
from mlplatform.offline.assets._shared import key
from mlplatform.offline.assets.ingestion import MESSAGE, ROWS, SCHEMA, SHA256, URI
from mlplatform.offline.declared import Declared
from mlplatform.offline.messages import refusal
from mlplatform.offline.sensors.unread import unread
from mlplatform.stores.batches import batch_id


def source_data_available(declared: Declared, settings: Settings) -> SensorDefinition:
    """One run per message; run key: the batch id where the message tells the hash, else the message's id."""

    @sensor(
        name=f"{declared.name}_source_data_available",
        target=AssetSelection.assets(
            *(key(declared, f"raw_{name}") for name in declared.config.data_sets),
            *(key(declared, name) for name in declared.tables),
        ),
        minimum_interval_seconds=5,
        default_status=DefaultSensorStatus.RUNNING,
        description="Materialises the raw and cleaned data of a day when its source says it is there.",
    )
    def arrived(context: SensorEvaluationContext) -> Iterator[RunRequest | SkipReason]:
        try:
            messages, position = unread(context, settings, SOURCE_DATA_AVAILABLE)
        except BusError as error:
            yield SkipReason(f"{error} {error.hint}")
            return
        requests = _requests(context, declared, messages)
        yield from requests
        if not requests:
            yield SkipReason(f"{len(messages)} new messages, none that starts a run.")
        context.update_cursor(str(position))

    return arrived


def _requests(
    context: SensorEvaluationContext, declared: Declared, messages: Sequence[Received[SourceDataAvailable]]
) -> list[RunRequest]:
    requests: dict[str, RunRequest] = {}
    for message in messages:
        data = message.envelope.data
        if data.use_case != declared.name:
            continue
        refused = refusal(declared, data.data_set, data.partition) or _refused_place(declared, data)
        if refused:
            context.log.error(f"Message {message.sequence} ({message.envelope.id}) is refused: {refused}")
        else:
            request = _request(declared, data, message.envelope.id)
            requests.setdefault(request.run_key or "", request)
    return list(requests.values())


def _refused_place(declared: Declared, data: SourceDataAvailable) -> str:
    """Why a delivery is not taken from the place a message names; it must not read any file it likes."""
    if data.uri is None:
        return ""
    allowed = declared.config.data_sets[data.data_set].accept
    climbs = ".." in unquote(urlsplit(data.uri).path).split("/")
    if not climbs and any(data.uri.startswith(prefix) for prefix in allowed):
        return ""
    return (
        f"got uri {data.uri!r}; allowed: what data_sets.{data.data_set}.accept lists "
        f"({', '.join(allowed) or 'it lists nothing'})."
    )


def _request(declared: Declared, data: SourceDataAvailable, message: str) -> RunRequest:
    daily = data.data_set in declared.daily
    told = {URI: data.uri, ROWS: data.rows, SHA256: data.sha256, SCHEMA: data.schema_version}
    assets = [f"raw_{data.data_set}", *([data.data_set] if data.data_set in declared.tables else [])]
    return RunRequest(
        run_key=batch_id(data.data_set, data.partition, data.sha256) if data.sha256 else message,
        asset_selection=[key(declared, name) for name in assets],
        partition_key=data.partition if daily else None,
        tags={MESSAGE: message, **{name: str(value) for name, value in told.items() if value is not None}},
    )
