"""Alerts out to the targets: each change in order, tried again for a day, settled once.

What a target has is noted after it took it; a process that ends in between sends that one change again, with
the same id (`webhook-id`, `Message-ID`). It must not raise alerts, nor know Dagster.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from mlplatform.crosscutting.alerting.alert import SEVERITIES, AlertChange, Severity
from mlplatform.crosscutting.alerting.targets import Failure, Target
from mlplatform.crosscutting.clock import utc_now
from mlplatform.stores.alert_deliveries import AlertDeliveries, Progress
from mlplatform.stores.alerts import AlertStore

KEEP_TRYING = timedelta(days=1)
"""A change that is older is given up, so that the next ones come through."""
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 900.0
LEASE = timedelta(minutes=2)
"""After so long a change that a process had in hand when it ended is sent again; longer than a send takes."""
PAGE = 100


@dataclass
class Sent:
    """What one round did."""

    delivered: int = 0
    failed: int = 0
    given_up: int = 0
    waiting: int = 0
    """Targets that are waited for."""


class AlertDelivery:
    """Sends what is due.

    Parameters
    ----------
    least : changes of a lower severity are passed over.
    """

    def __init__(
        self,
        alerts: AlertStore,
        progress: AlertDeliveries,
        targets: Iterable[Target],
        *,
        least: Severity = "info",
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._alerts, self._progress, self._targets = alerts, progress, list(targets)
        self._least, self._clock = SEVERITIES.index(least), clock

    def round(self, seconds: float = 20.0) -> Sent:
        """Send every target what is due, for about that long at most; raises StoreError."""
        sent, deadline = Sent(), time.monotonic() + seconds
        for target in self._targets:
            while time.monotonic() < deadline and self._one(target, sent):
                pass
        return sent

    def _one(self, target: Target, sent: Sent) -> bool:
        """Deal with the next change of a target; whether to look for another one."""
        seen = self._progress.of(target.name)
        now = self._clock()
        if seen.next_at is not None and seen.next_at > now:
            sent.waiting += 1
            return False
        found = self._next(seen)
        if found is None:
            return False
        change, wanted = found
        if not wanted:
            self._progress.settle(seen, delivered=False, number=change.number)
        elif now - change.at > KEEP_TRYING:
            self._give_up(seen, change, seen.trouble or "it was more than a day old", sent)
        elif self._progress.claim(seen, now, LEASE):
            seen = msgspec.structs.replace(seen, attempts=seen.attempts + 1, next_at=now + LEASE)
            return self._told(seen, change, target.send(change), sent)
        return True

    def _next(self, seen: Progress) -> tuple[AlertChange, bool] | None:
        """The next change that is to be sent, and True; else the last one that is not, and False."""
        page = self._alerts.history(after=seen.done, limit=PAGE)
        for change in page:
            if SEVERITIES.index(change.alert.severity) >= self._least:
                return change, True
        return (page[-1], False) if page else None

    def _told(self, seen: Progress, change: AlertChange, failure: Failure | None, sent: Sent) -> bool:
        if failure is None:
            self._progress.settle(seen, delivered=True, number=change.number)
            sent.delivered += 1
            return True
        if not failure.again:
            self._give_up(seen, change, failure.reason, sent)
            return True
        pause = max(
            min(FIRST_PAUSE * 2.0 ** (seen.attempts - 1), LONGEST_PAUSE), min(failure.after, LONGEST_PAUSE)
        )
        self._progress.postpone(seen, self._clock() + timedelta(seconds=pause), failure.reason)
        sent.failed += 1
        return False

    def _give_up(self, seen: Progress, change: AlertChange, why: str, sent: Sent) -> None:
        self._progress.settle(
            seen, delivered=False, number=change.number, trouble=f"change {change.number} was given up: {why}"
        )
        sent.given_up += 1


def deliver(state_url: str, targets: list[Target], least: Severity) -> Sent:
    """One round on the state of a deployment; raises StoreError."""
    with ExitStack() as stack:
        alerts = stack.enter_context(closing(AlertStore(state_url)))
        progress = stack.enter_context(closing(AlertDeliveries(state_url)))
        return AlertDelivery(alerts, progress, targets, least=least).round()
