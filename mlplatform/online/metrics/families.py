"""Every metric of the services, with its unit, its labels and what it means: the one list of them.

It must not count anything, and imports nothing heavy: the parent of the workers reads it.
"""

from mlplatform.crosscutting.metrics import Family, process

BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""Seconds; a score takes some tens of microseconds, a deadline is some tens of milliseconds."""

BUILD = Family(
    "mlplatform_build_info", "gauge", "Always 1; the version of mlplatform.", ("version",), together="max"
)
REQUESTS = Family(
    "mlplatform_http_requests_total",
    "counter",
    "Requests over HTTP that were answered; route `gate`: refused before a route was looked for.",
    ("route", "status"),
)
REFUSALS = Family(
    "mlplatform_http_refusals_total",
    "counter",
    "Requests that were refused, by kind: host, origin, header, key, scope, rate before they were read; "
    "wrong, unknown, method, slow, long, encoding, busy, unavailable after.",
    ("kind",),
)
ANSWERS = Family(
    "mlplatform_answers_total",
    "counter",
    "Rows answered, by the version that answered and the link of the chain it was; a shadow answers nobody.",
    ("use_case", "version", "link"),
)
LATE = Family(
    "mlplatform_late_answers_total",
    "counter",
    "Rows answered after the deadline.",
    ("use_case", "version", "link"),
)
SECONDS = Family(
    "mlplatform_answer_seconds",
    "histogram",
    "Seconds from a question's arrival at the chain to its answer, all its rows together.",
    ("use_case", "version", "link"),
    buckets=BUCKETS,
)
FALLBACKS = Family(
    "mlplatform_fallbacks_total",
    "counter",
    "Questions that a later link than the first answered, or none could.",
    ("use_case",),
)
FAILURES = Family(
    "mlplatform_model_failures_total",
    "counter",
    "Calls of a version that raised an error, or that its own process did not answer in time.",
    ("use_case", "version", "reason"),
)
BREAKER = Family(
    "mlplatform_breaker_open",
    "gauge",
    "1 while a version is passed over because it was late or failed, in any worker.",
    ("use_case", "version"),
    together="max",
)
SHADOW_DROPPED = Family(
    "mlplatform_shadow_dropped_total", "counter", "Questions a shadow was not asked, being too far behind."
)
AGE = Family(
    "mlplatform_features_age_seconds",
    "gauge",
    "Seconds from the newest row in memory to the time of the question answered last.",
    ("use_case",),
    together="max",
)
NEWEST = Family(
    "mlplatform_features_newest_timestamp_seconds",
    "gauge",
    "When the newest row in memory became known, as Unix time; of the worker furthest behind.",
    ("use_case",),
    together="min",
)
KEYS = Family(
    "mlplatform_features_keys",
    "gauge",
    "Keys of all groupings whose events are in the memory of features.",
    ("use_case",),
    together="max",
)
LAG = Family(
    "mlplatform_stream_lag_messages",
    "gauge",
    "Positions of the broker between the newest event and the one that features know; of the worker "
    "furthest behind.",
    ("use_case",),
    together="max",
)
RELEASE = Family(
    "mlplatform_release_info",
    "gauge",
    "Always 1; a release in use and its role.",
    ("use_case", "role", "version", "model", "digest"),
    together="max",
)
READY = Family(
    "mlplatform_use_case_ready",
    "gauge",
    "1 if a use case can be scored, by every worker.",
    ("use_case",),
    together="min",
)
LOAD_FAILURES = Family(
    "mlplatform_release_load_failures_total", "counter", "Attempts to load a champion that failed."
)
LOG_WRITTEN = Family("mlplatform_score_log_written_total", "counter", "Answers written to the score log.")
LOG_LOST = Family("mlplatform_score_log_lost_total", "counter", "Answers that could not be logged.")
LOG_WAITING = Family("mlplatform_score_log_waiting", "gauge", "Answers that wait to be logged.")
WEBHOOKS = Family(
    "mlplatform_webhooks_total",
    "counter",
    "Answers to be pushed: delivered, retried, undelivered (kept as dead letters), lost, refused.",
    ("outcome",),
)
WEBHOOKS_WAITING = Family("mlplatform_webhooks_waiting", "gauge", "Answers that wait to be pushed.")
RPC = Family("mlplatform_rpc_requests_total", "counter", "Requests over the broker.", ("outcome",))
WORKERS = Family("mlplatform_workers", "gauge", "Processes that answer on this port.")

_STREAM = ("use_case", "stream")
ACCEPTED = Family("mlplatform_events_accepted_total", "counter", "Events made durable.", _STREAM)
EVENT_REFUSALS = Family(
    "mlplatform_event_requests_refused_total", "counter", "Requests with events that were refused.", _STREAM
)
IN_FLIGHT = Family("mlplatform_events_in_flight", "gauge", "Events on their way to the broker.", _STREAM)
ARCHIVED = Family("mlplatform_events_archived_total", "counter", "Events archived.", ("use_case",))
ARCHIVE_LAG = Family(
    "mlplatform_archive_lag_messages",
    "gauge",
    "Positions of the broker between a stream's newest event and its last archived one.",
    _STREAM,
)
UNREADABLE = Family(
    "mlplatform_events_unreadable_total", "counter", "Events left out, as they cannot be read.", ("use_case",)
)
BROKER = Family("mlplatform_broker_up", "gauge", "1 if the broker answered when it was last asked.")
TROUBLE = Family(
    "mlplatform_trouble", "gauge", "1 while the work on a use case does not go on; `/v1/status` says why.",
    ("use_case",),
)  # fmt: skip
DEAD_LETTERS = Family(
    "mlplatform_dead_letters_total",
    "counter",
    "Messages put aside by their consumer, counted from the oldest that the broker keeps.",
    ("use_case", "topic", "consumer"),
)

_SHARE = ("use_case", "share")
PREPARED = Family("mlplatform_prepared_rows_total", "counter", "Questions answered with features.", _SHARE)
PREPARATION_REFUSED = Family(
    "mlplatform_prepared_refused_total", "counter", "Questions of the stream without an answer.", _SHARE
)
PENDING = Family("mlplatform_preparation_pending", "gauge", "Questions whose time has not come.", _SHARE)
POSITION = Family("mlplatform_preparation_position", "gauge", "Position on the broker.", _SHARE)
PREPARATION_LAG = Family(
    "mlplatform_preparation_lag_messages",
    "gauge",
    "Positions of the broker between the newest event and the one prepared last.",
    _SHARE,
)
PREPARED_UNTIL = Family(
    "mlplatform_preparation_newest_timestamp_seconds", "gauge", "Time of the newest event, as Unix time.",
    _SHARE,
)  # fmt: skip

_HTTP = (BUILD, REQUESTS, REFUSALS)
SCORING = (
    *(*_HTTP, ANSWERS, LATE, SECONDS, FALLBACKS, FAILURES, BREAKER, SHADOW_DROPPED, AGE, NEWEST, KEYS, LAG),
    *(RELEASE, READY, LOAD_FAILURES, LOG_WRITTEN, LOG_LOST, LOG_WAITING, WEBHOOKS, WEBHOOKS_WAITING, RPC),
    *(WORKERS, *process.FAMILIES),
)
INGESTION = (
    *(*_HTTP, ACCEPTED, EVENT_REFUSALS, IN_FLIGHT, ARCHIVED, ARCHIVE_LAG, UNREADABLE, BROKER, TROUBLE),
    *(DEAD_LETTERS, *process.FAMILIES),
)
PREPARATION = (
    *(*_HTTP, PREPARED, PREPARATION_REFUSED, PENDING, KEYS, POSITION, PREPARATION_LAG, PREPARED_UNTIL),
    *(UNREADABLE, TROUBLE, *process.FAMILIES),
)
