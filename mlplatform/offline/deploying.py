"""Changes what of a use case is in use, and says so on the bus: the one way for assets, jobs and people.

A change counts once it is in the history. The message comes after it, as well as it can: what a broker that
is away did not get, the sensor `deployment_changed` publishes later. It must not import Dagster, nor start a
run.
"""

import logging
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self, TypeVar

from mlplatform.crosscutting.bus import open_bus
from mlplatform.crosscutting.bus.topics import DEPLOYMENT_CHANGED
from mlplatform.crosscutting.settings import Settings
from mlplatform.crosscutting.whoami import person as person
from mlplatform.errors import BusError, ConfigurationError, ModelError, NotFound
from mlplatform.offline.chosen import chosen, suggested
from mlplatform.offline.declared import Declared
from mlplatform.offline.messages import deployment_changed
from mlplatform.offline.packaging import Made, Packager, candidates
from mlplatform.stages.deployment.alias import Action, Alias, Change, Deployment
from mlplatform.stages.deployment.release import Promotion, Release
from mlplatform.stages.preparation.fitted import FittedFeatureSet
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.champions import ChampionStore
from mlplatform.stores.lake import Lake

log = logging.getLogger(__name__)
Clock = Callable[[], datetime]
T = TypeVar("T")


def now() -> datetime:
    """The time in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Changed:
    """What a call came to: the change (None: everything was so already), and what is in use now."""

    change: Change | None
    present: Deployment
    published: bool
    """Whether the broker has the message; else it follows later."""


def publish(settings: Settings, changes: Iterable[Change]) -> bool:
    """Publish changes that are stored; false if the broker is away, which is no error here."""
    try:
        with closing(open_bus(settings.broker_url)) as bus:
            bus.publish_many(DEPLOYMENT_CHANGED, [deployment_changed(change) for change in changes])
    except BusError as error:
        log.info("deployment-changed is published later: %s", error)
        return False
    return True


def told(settings: Settings, store: ChampionStore, use_case: str, act: Callable[[], T]) -> tuple[T, Changed]:
    """Do what changes the history, then publish what it added.

    Raises
    ------
    MlplatformError
        what `act` raises; then nothing was changed. NotFound if nothing was ever promoted.
    """
    before = store.deployment(use_case)
    done = act()
    present = store.deployment(use_case)
    if present is None:
        raise NotFound(f"nothing of {use_case!r} is in use yet.", hint=f"mlplatform run {use_case}")
    after = before.number if before else 0
    new = [change for change in store.changes(use_case) if change.number > after]
    published = publish(settings, new) if new else True
    return done, Changed(new[-1] if new else None, present, published)


class Desk:
    """Where a person, or a job for one, changes the deployment of a use case; use it in a `with` block."""

    def __init__(self, declared: Declared, settings: Settings, clock: Clock = now) -> None:
        self._declared, self._settings, self._clock = declared, settings, clock
        self._open = ExitStack()
        self._store: ChampionStore | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    @property
    def store(self) -> ChampionStore:
        """The history; opened at its first use, for opening makes it."""
        if self._store is None:
            self._store = self._open.enter_context(closing(ChampionStore(self._settings.state_url)))
        return self._store

    def present(self) -> Deployment:
        """What is in use.

        Raises
        ------
        NotFound
            if nothing was ever promoted.
        """
        found = self.store.deployment(self._declared.name) if self._settings.state_file_exists() else None
        if found is None:
            raise NotFound(
                f"nothing of {self._declared.name!r} is in use yet.",
                hint=f"Train and release a model first: mlplatform run {self._declared.name}",
            )
        return found

    def promote(self, which: str = "", *, who: str, why: str) -> Changed:
        """Make a version, digest or model (see `release`) the champion; empty: the canary, or what was tried.

        Raises
        ------
        MlplatformError
            if there is none such, or its package is refused; then nothing was changed.
        """
        return self._move("promote", which, who=who, why=why)

    def rollback(self, to: int = 0, *, who: str, why: str) -> Changed:
        """Go back to an earlier champion, 0: the one before; those after it are withdrawn.

        Raises
        ------
        ConfigurationError
            if there is no earlier champion, or `to` is none.
        """
        present = self.present()
        if not to and not present.previous:
            raise ConfigurationError(
                f"{self._declared.name!r} has no champion before version {present.champion.version}; a "
                "rollback goes back to one.",
                hint="Any released version can be made the champion with `mlplatform promote`.",
            )
        return self._change("rollback", to or present.previous[0].version, who=who, why=why)

    def canary(self, which: str = "", *, share: float, who: str, why: str) -> Changed:
        """Let a version, digest or model answer a share (0 to 1) of the entities; empty: the best challenger.

        Raises
        ------
        MlplatformError
            as `promote`; also for a share that is none.
        """
        return self._move("canary", which, share=share, who=who, why=why)

    def shadow(self, which: str = "", *, who: str, why: str) -> Changed:
        """Ask a version, digest or model after each answer, and only log it; empty: the best challenger.

        Raises
        ------
        MlplatformError
            as `promote`.
        """
        return self._move("shadow", which, who=who, why=why)

    def off(self, alias: Alias, *, who: str, why: str) -> Changed:
        """Take the canary or the shadow away."""
        self.present()
        if alias == "champion":
            raise ConfigurationError(
                "got champion; allowed: canary, shadow.", hint="Promote another version."
            )
        return self._change(alias, 0, who=who, why=why)

    def release(self, which: str, *, who: str, why: str) -> Release:
        """The release of a version number, a digest (or its beginning), or a model (its newest candidate).

        A candidate that has no version yet, or is to be served in another way now, is packaged, tested and
        released under a new one.

        Raises
        ------
        NotFound
            if there is none such.
        ModelError
            if the contract tests refuse it.
        """
        with closing(Lake.from_settings(self._settings)) as lake:
            found = chosen(which, self.store.history(self._declared.name), candidates(self._declared, lake))
            if isinstance(found, Release):
                self._tested(lake, Made(found.model, found.digest, found.as_of), found)
                return found
            figures = self._tested(lake, found)
        return self.store.release(self._promotion(found, figures, who=who, why=why))

    def _tested(self, lake: Lake, made: Made, release: Release | None = None) -> dict[str, float]:
        """Figures of a candidate whose package holds its contract; ModelError if it does not."""
        packager = Packager.from_settings(self._declared, self._settings, lake)
        packed = packager.pack(made, self.store.deployment(self._declared.name), release)
        if packed.fault:
            raise ModelError(
                f"the package of {made.model} ({made.digest[:12]}) is refused: {packed.fault}.",
                hint="Nothing was changed. Train the model again, or name another one.",
            )
        metric = self._declared.config.champion.metric
        return {f"{each.part}_{each.name}": each.value for each in packed.figures if each.name == metric}

    def _promotion(self, made: Made, figures: dict[str, float], *, who: str, why: str) -> Promotion:
        stored = CandidateStore(self._settings.candidates).get(self._declared.name, made.digest)
        return Promotion(
            use_case=self._declared.name,
            digest=made.digest,
            model=made.model,
            feature_set_id=FittedFeatureSet.from_json(stored.feature_set).id,
            figures={"threshold": self._declared.config.threshold, **figures},
            as_of=made.as_of,
            released_at=self._clock(),
            released_by=who,
            why=why,
            policy=self._declared.config.serving.policy,
        )

    def _move(self, action: Action, which: str, *, who: str, why: str, share: float = 0.0) -> Changed:
        if not which:
            which = suggested(action, self.present(), self._declared, self._settings)
        version = self.release(which, who=who, why=why).version
        return self._change(action, version, share=share, who=who, why=why)

    def _change(self, action: Action, version: int, **more: Any) -> Changed:
        name, store = self._declared.name, self.store

        def act() -> Change:
            return store.change(name, action, version, at=self._clock(), **more)

        return told(self._settings, store, name, act)[1]
