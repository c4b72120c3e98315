"""The replay: step by step events, then questions; deliveries, mistakes, and what the platform made of them.

It must not act on the platform but as its users do: by messages, requests and commands.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Protocol

from mlplatform.crosscutting.clock import utc_now
from mlplatform.crosscutting.settings import Settings
from mlplatform.demonstration.careless import CarelessPerson
from mlplatform.demonstration.clock import ReplayClock
from mlplatform.demonstration.delivered import Deliveries
from mlplatform.demonstration.past import Step, events_of, flights_of, questions_of, steps
from mlplatform.demonstration.plan import Plan
from mlplatform.demonstration.services import Counts, Services
from mlplatform.demonstration.watched import Seen, Watch, by_itself
from mlplatform.errors import ServiceError
from mlplatform.offline.declared import Declared
from mlplatform.stages.deployment.alias import Change

STREAM = "flight_events"
QUIET = 40.0
"""Seconds without a run after which nothing more comes: the slowest sensor looks every thirty."""
PATIENCE = 600.0
"""Seconds for which the loop may take no day in before the demonstration gives up."""


class Told(Protocol):
    """Whoever shows how far it is."""

    def far(self, replayed: datetime, counts: Counts, note: str) -> None:
        """So far in the replay; `note` says what it waits for."""

    def happened(self, replayed: datetime, sentence: str) -> None:
        """Something to be read."""


@dataclass
class Played:
    """What was replayed, how long that took, and the two clocks."""

    counts: Counts
    clock: ReplayClock
    seconds: float = 0.0
    waited_seconds: float = 0.0
    """Of these, spent waiting for ingestion and monitoring."""
    settle_seconds: float = 0.0
    """Afterwards, until no run was left."""
    behind: int = 0
    """The most days that these were behind when it waited."""


@dataclass
class Replay:
    """One replay; `look_after` is called often, and looks after the processes."""

    plan: Plan
    declared: Declared
    settings: Settings
    told: Told
    look_after: Callable[[], None]
    speed: float | None = None
    """At most so many times as fast as it was; None: as fast as it goes."""
    _known: int = field(default=0, init=False)

    def run(self) -> Played:
        """Replay every day, then wait until the platform has nothing left to do.

        Raises
        ------
        MlplatformError
            if a service does not answer, or ingestion stands still.
        """
        services = Services(self.settings, self.declared.name, STREAM)
        person = CarelessPerson(iter(self.plan.mistakes), self.plan.begin)
        days = self.declared.days(self.plan.first, self.plan.last)
        deliveries = Deliveries(self.declared, self.settings, days)
        watch = Watch(self.declared, self.settings)
        self._known = len(watch.look().changes)
        played = Played(services.counts, ReplayClock())
        flights = flights_of(self.declared, self.settings, days)
        questions = questions_of(self.declared, flights)
        try:
            services.await_ready()
            started = time.monotonic()
            for step in steps(events_of(self.declared, flights), questions, self.plan.begin, self.plan.step):
                self._step(step, services, played)
                deliveries.until(step.until)
                if said := person.look(step.until, len(watch.look().rollbacks)):
                    self.told.happened(step.until, said)
                self._see(step.until, watch, played)
                self._wait(step.until, deliveries, watch, played)
                self._pace(step.until, started)
            played.seconds = time.monotonic() - started
            deliveries.until(self.plan.begin + timedelta(days=self.plan.days + 7))
            self._settle(step.until, deliveries, watch, played)
        finally:
            person.stop()
            services.close()
            watch.close()
        return played

    def _step(self, step: Step, services: Services, played: Played) -> None:
        services.send([(event.kind, event.line) for event in step.events])
        if step.questions:
            services.await_applied()  # also of steps before: at night some have no event of their own
        for asked in step.questions:
            services.ask(asked.body)
        played.clock.note(utc_now(), step.until)
        self.look_after()
        self.told.far(step.until, played.counts, "")

    def _see(self, replayed: datetime, watch: Watch, played: Played) -> None:
        """Tell of what changed since the last look."""
        seen = watch.look()
        models = {release.version: release.model for release in seen.releases}
        for change in seen.changes[self._known :]:
            self.told.happened(played.clock.at(change.changed_at), sentence(change, models))
        self._known = len(seen.changes)

    def _wait(self, replayed: datetime, deliveries: Deliveries, watch: Watch, played: Played) -> None:
        """Stand still while ingestion or monitoring is too far behind."""
        began = moved = time.monotonic()
        last = ("", "")
        while (days := behind(self.plan, replayed, deliveries, watch.look())) > self.plan.most_behind:
            played.behind = max(played.behind, days)
            seen = watch.look()
            if (seen.ingested, seen.joined) != last:
                last, moved = (seen.ingested, seen.joined), time.monotonic()
            self._idle(replayed, played, f"waits: the loop is {days} days behind", moved)
            self._see(replayed, watch, played)
        played.waited_seconds += time.monotonic() - began

    def _settle(self, replayed: datetime, deliveries: Deliveries, watch: Watch, played: Played) -> None:
        """Wait until every day is ingested, every answer in the lake, and no run was there for a while."""
        began = moved = quiet = time.monotonic()
        last = (0, "", 0)
        while time.monotonic() - quiet < QUIET:
            stored = watch.stored("served")
            state = (watch.at_work(), watch.look().ingested, stored)
            if state != last:
                last, moved = state, time.monotonic()
            if state[0] or deliveries.behind(state[1]) or stored < played.counts.scores:
                quiet = time.monotonic()
            self._idle(replayed, played, f"the last outcomes are judged; {state[0]} runs at work", moved)
            time.sleep(0.5)
            self._see(replayed, watch, played)
        played.settle_seconds = time.monotonic() - began

    def _idle(self, replayed: datetime, played: Played, note: str, moved: float) -> None:
        if time.monotonic() - moved > PATIENCE:
            raise ServiceError(
                f"nothing moved for {PATIENCE:g} s: {note}.",
                hint=f"The Dagster UI and {self.settings.home / 'logs'} say why.",
            )
        self.look_after()
        self.told.far(replayed, played.counts, note)
        time.sleep(0.5)

    def _pace(self, replayed: datetime, started: float) -> None:
        """Wait until it is time, where a speed is asked for."""
        if self.speed is None:
            return
        due = started + (replayed - self.plan.begin).total_seconds() / self.speed
        while (left := due - time.monotonic()) > 0:
            self.look_after()
            time.sleep(min(left, 0.5))


def behind(plan: Plan, replayed: datetime, deliveries: Deliveries, seen: Seen) -> int:
    """Days announced and not ingested, or replayed and not looked at by monitoring; the more of both."""
    joined = date.fromisoformat(seen.joined) if seen.joined else plan.begin.date()
    return max(deliveries.behind(seen.ingested), (replayed.date() - joined).days)


def sentence(change: Change, models: dict[int, str]) -> str:
    """A change of the deployment, for people."""
    named = f"version {change.version} ({models.get(change.version, '?')})"
    if change.action == "promote":
        return f"{named} is the champion: {change.why}"
    if by_itself(change):
        return f"{named} answers again, by itself: {change.why}"
    return f"{change.action} to {named}: {change.why}"
