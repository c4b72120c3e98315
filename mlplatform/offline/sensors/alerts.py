"""The outbox of alerts: what their history has becomes messages `alert-raised`, and reaches the targets.

One set of sensors per deployment, whatever number of use cases it has. Sensors, because the Dagster daemon is
always there, tells in the UI what each round did, and goes on after a restart; the progress itself is in the
cursor and in the relational state. They must not raise alerts, but for runs whose worker was lost.
"""

from contextlib import closing
from datetime import UTC, datetime

from dagster import (
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    DefaultSensorStatus,
    RunsFilter,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
    sensor,
)
from dagster._core.storage.tags import RUN_FAILURE_REASON_TAG, WILL_RETRY_TAG

from mlplatform.crosscutting.alerting.alert import PLATFORM, Alert, AlertChange
from mlplatform.crosscutting.alerting.targets import targets_of
from mlplatform.crosscutting.alerting.text import change_id
from mlplatform.crosscutting.bus import Envelope, envelope, open_bus
from mlplatform.crosscutting.bus.topics import ALERT_RAISED, AlertRaised
from mlplatform.crosscutting.clock import utc_now
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import BusError, ConfigurationError, StoreError
from mlplatform.offline.alert_delivery import deliver
from mlplatform.offline.once import brings
from mlplatform.stores.alerts import AlertStore

MOST = 200
"""Messages published in one tick; the rest follows in the next."""
RUN_LOST = "run-lost"


def alert_sensors(use_case: str, settings: Settings) -> list[SensorDefinition]:
    """The sensors of a deployment, for the first use case that is loaded; none for the others."""
    if not brings(use_case, settings):
        return []
    return [_topic(settings), _delivery(settings), _lost_runs(settings)]


def message(change: AlertChange) -> Envelope[AlertRaised]:
    """A change of an alert as a message; its id says which change it is."""
    alert = change.alert
    data = AlertRaised(
        use_case=alert.use_case,
        number=change.number,
        action=change.action,
        kind=alert.kind,
        subject=alert.subject,
        severity=alert.severity,
        cause=alert.cause,
        remedy=alert.remedy,
        figures=alert.figures,
        why=change.why,
    )
    source = f"mlplatform/{alert.use_case}"
    return envelope(ALERT_RAISED, data, id=change_id(change), source=source, time=change.at)


def publish(settings: Settings, after: int) -> tuple[int, str]:
    """Publish the changes behind that number; the number of the last that the broker has, and what failed."""
    if not settings.state_file_exists():
        return after, ""
    with closing(AlertStore(settings.state_url)) as store:
        changes = store.history(after=after, limit=MOST)
    if not changes:
        return after, ""
    try:
        with closing(open_bus(settings.broker_url)) as bus:
            for change in changes:
                bus.publish(ALERT_RAISED, message(change))
                after = change.number
    except BusError as error:
        return after, f"{error} {error.hint}"
    return after, ""


def _topic(settings: Settings) -> SensorDefinition:
    @sensor(
        name="alert_raised",
        minimum_interval_seconds=5,
        default_status=DefaultSensorStatus.RUNNING,
        description="Publishes alerts, each once; what a broker outage held up follows later.",
    )
    def raised(context: SensorEvaluationContext) -> SkipReason:
        before = int(context.cursor or 0)
        after, trouble = publish(settings, before)
        context.update_cursor(str(after))
        return SkipReason(f"{after - before} messages published. {trouble}".strip())

    return raised


def _delivery(settings: Settings) -> SensorDefinition:
    @sensor(
        name="alert_delivery",
        minimum_interval_seconds=5,
        default_status=DefaultSensorStatus.RUNNING,
        description="Sends alerts to webhook, Slack and e-mail, as MLPLATFORM_ALERT_… say.",
    )
    def delivered(context: SensorEvaluationContext) -> SkipReason:
        try:
            targets = targets_of(settings.alerts)
            if not targets or not settings.state_file_exists():
                return SkipReason("No target is configured (MLPLATFORM_ALERT_…), or there is no state yet.")
            sent = deliver(settings.state_url, targets, settings.alerts.least)
        except (ConfigurationError, StoreError) as error:
            return SkipReason(f"{error} {error.hint}")
        return SkipReason(
            f"{sent.delivered} delivered, {sent.failed} failed, {sent.given_up} given up, "
            f"{sent.waiting} targets are waited for."
        )

    return delivered


def _lost_runs(settings: Settings) -> SensorDefinition:
    @sensor(
        name="runs_lost",
        minimum_interval_seconds=10,
        default_status=DefaultSensorStatus.RUNNING,
        description="Raises an alert for each run that ended with its worker, until a retry succeeds.",
    )
    def lost(context: SensorEvaluationContext) -> SkipReason:
        if not settings.state_file_exists():
            return SkipReason("There is no state yet.")
        with closing(AlertStore(settings.state_url)) as store:
            before = float(context.cursor or utc_now().timestamp() - 86_400)
            found, after = _newly_lost(context.instance, before)
            for run in found:
                store.raise_(run_lost(run))
            for alert in store.open(PLATFORM, RUN_LOST):
                if _over(context.instance, alert.alert.subject):
                    store.clear(PLATFORM, RUN_LOST, alert.alert.subject, "a retry of the run succeeded.")
        context.update_cursor(str(after))
        return SkipReason(f"{len(found)} runs lost.")

    return lost


def run_lost(run: DagsterRun) -> Alert:
    """The alert of a run that ended without an error of its own; a retry's is that of its first run."""
    retried = run.tags.get(WILL_RETRY_TAG) == "true"
    return Alert(
        use_case=PLATFORM,
        kind=RUN_LOST,
        subject=run.root_run_id or run.run_id,
        severity="warning" if retried else "critical",
        cause=f"Run {run.run_id[:8]} of {run.job_name} ended because its process did, not by a step's error"
        + ("; it is tried again." if retried else "; it is not tried again."),
        remedy=f"Look at memory and at run {run.run_id} in the Dagster UI; re-execute it there if need be.",
        at=utc_now(),
    )


def _newly_lost(instance: DagsterInstance, after: float) -> tuple[list[DagsterRun], float]:
    """Failed runs behind a moment of update which no step failed, oldest first, and the newest moment."""
    limit = RunsFilter(statuses=[DagsterRunStatus.FAILURE], updated_after=datetime.fromtimestamp(after, UTC))
    records = sorted(instance.get_run_records(limit, limit=500), key=lambda each: each.update_timestamp)
    runs = [each.dagster_run for each in records]
    newest = max([after, *(each.update_timestamp.replace(tzinfo=UTC).timestamp() for each in records)])
    return [run for run in runs if run.tags.get(RUN_FAILURE_REASON_TAG) != "STEP_FAILURE"], newest


def _over(instance: DagsterInstance, root: str) -> bool:
    runs = instance.get_runs(RunsFilter(tags={"dagster/root_run_id": root}), limit=50)
    return any(run.status == DagsterRunStatus.SUCCESS for run in runs)
