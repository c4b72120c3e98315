"""What waits for a person: open alerts, dead letters, undelivered webhooks, requests nobody takes up.

Read from the stores and the broker. It must not settle any of it.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta

from mlplatform.crosscutting.alerting.alert import OpenAlert
from mlplatform.crosscutting.bus import open_bus
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import BusError
from mlplatform.offline.dead_letters import letters
from mlplatform.offline.health.part import Part, State, ago, several
from mlplatform.stores.alerts import AlertStore
from mlplatform.stores.batch_requests import BatchRequests
from mlplatform.stores.redriven import Redriven
from mlplatform.stores.undelivered import UndeliveredFiles

_SHOWN = 5
_OVERDUE = timedelta(minutes=1)
"""The batch scoring service takes a request up within a second, unless another one is scored."""


def alerts(settings: Settings) -> Part:
    """Open alerts, the newest first, each with its cause and remedy."""
    opened: tuple[OpenAlert, ...] = ()
    if settings.state_file_exists():
        with closing(AlertStore(settings.state_url)) as store:
            opened = store.open()
    critical = sum(each.alert.severity == "critical" for each in opened)
    states: dict[bool, State] = {True: "problem", False: "warning" if opened else "ok"}
    return Part(
        name="alerts",
        state=states[critical > 0],
        said=f"{len(opened)} open, {critical} of them critical" if opened else "none is open",
        remedy="`mlplatform alerts` shows them all." if opened else "",
        figures={"open": len(opened), "critical": critical},
        details=tuple(_told(each) for each in reversed(opened[-_SHOWN:])),
    )


def dead_letters(settings: Settings, *, there: bool) -> Part:
    """Messages that their consumer could not handle, and that were not sent again since.

    `there`: whether the broker, which has them, answers; one that does not is not waited for.
    """
    unknown = Part(name="dead letters", state="off", said="unknown while no broker answers")
    if not there:
        return unknown
    redriven: dict[str, int] = {}
    if settings.state_file_exists():
        with closing(Redriven(settings.state_url)) as store:
            redriven = store.counts()
    try:
        with closing(open_bus(settings.broker_url)) as bus:
            found = [each for each in letters(bus) if each.envelope.id not in redriven]
    except BusError:
        return unknown
    return Part(
        name="dead letters",
        state="warning" if found else "ok",
        said=f"{several(len(found), 'message')} could not be handled" if found else "none waits",
        remedy="`mlplatform dead-letters list` says why, `… redrive` sends them again." if found else "",
        figures={"waiting": len(found)},
        details=tuple(
            f"{each.envelope.data.topic} for {each.envelope.data.consumer}: {each.envelope.data.reason}"
            for each in reversed(found[-_SHOWN:])
        ),
    )


def undelivered(settings: Settings) -> Part:
    """Webhooks that were given up and not sent again since."""
    found = UndeliveredFiles.from_settings(settings).waiting()
    return Part(
        name="webhooks",
        state="warning" if found else "ok",
        said=f"{several(len(found), 'message')} could not be delivered" if found else "all are delivered",
        remedy="`mlplatform undelivered list` says why, `… resend` sends them again." if found else "",
        figures={"undelivered": len(found)},
        details=tuple(f"{each.url}: {each.reason}" for each in reversed(found[-_SHOWN:])),
    )


def batch_requests(settings: Settings, now: datetime) -> Part:
    """Requests for batch scores that nobody takes up: the service that does has no port to ask."""
    with _requests(settings) as store:
        newest = store.newest(100) if store else []
    running = sum(each.state == "running" for each in newest)
    queued = [each for each in newest if each.state == "queued"]
    waited = max((now - each.asked_at for each in queued), default=timedelta(0))
    stuck = waited > _OVERDUE and not running
    return Part(
        name="batch scoring",
        state="problem" if stuck else "ok",
        said=f"{several(running, 'request')} running, {len(queued)} queued"
        + (f", the oldest for {ago(waited.total_seconds())}" if stuck else ""),
        remedy="Nobody takes them up: start `mlplatform up`." if stuck else "",
        figures={"running": running, "queued": len(queued)},
    )


@contextmanager
def _requests(settings: Settings) -> Iterator[BatchRequests | None]:
    if not settings.state_file_exists():
        yield None
        return
    with closing(BatchRequests(settings.state_url)) as store:
        yield store


def _told(each: OpenAlert) -> str:
    alert = each.alert
    return f"{alert.severity}, {alert.use_case}: {alert.cause} Remedy: {alert.remedy}"
