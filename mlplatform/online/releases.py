"""Follows the histories of releases and aliases: loads what is new beside the old, then swaps one reference.

A thread looks once a second, and at once when it is woken. What cannot be loaded stays out, the old one
serves on, and `problems` says why. It must not answer requests; who answers reads `current`, and no lock.
"""

import gc
import logging
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from mlplatform.crosscutting.bus import Bus, open_bus
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import MlplatformError, RequestError
from mlplatform.online.deployed import Deployed
from mlplatform.online.loading import Loader
from mlplatform.online.recovery import StreamFollowing
from mlplatform.online.replies import sentence, shown
from mlplatform.online.watch import Watch
from mlplatform.stages.deployment.alias import Deployment
from mlplatform.stages.deployment.release import Release
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.champions import ChampionStore
from mlplatform.stores.lake import Lake

log = logging.getLogger(__name__)

_USE_CASE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_STARTING = "The service is starting and has not looked for releases yet."
MOST_LOADED = 8
"""Versions of a use case that may be loaded by request, beside those with a role."""


class Releases:
    """What is in use, by use case.

    Parameters
    ----------
    use_cases
        gives the names to follow; asked at every poll.
    lake_stamp
        changes when anything is committed to the lake; cheap.
    stream
        what every warmed memory joins before it is used.
    open_bus
        the bus that tells of changes, so that they are seen at once; without one the poll finds them.
    online_store
        URL of the Online Feature Store; one that is shared is asked for every vector, and others fill it.
    retry
        seconds until a release that could not be loaded is tried again.
    """

    def __init__(
        self,
        lake: Lake,
        candidates: CandidateStore,
        open_champions: Callable[[], ChampionStore],
        use_cases: Callable[[], Iterable[str]],
        *,
        lake_stamp: Callable[[], object] = lambda: None,
        stream: StreamFollowing | None = None,
        open_bus: Callable[[], Bus] | None = None,
        online_store: str = "memory://",
        retry: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.current: Mapping[str, Deployed] = {}
        """Replaced as a whole, never changed: read it once per request."""
        self.problems: Mapping[str, str] = {}
        """Per use case why what its history says, or a part of it, is not in use."""
        self.known: tuple[str, ...] = ()
        self.refused = 0
        """Attempts to load a champion that failed."""
        self.trouble = _STARTING
        """What keeps the service as a whole from following releases; empty if nothing does."""
        self.stream = stream
        """Brings events into the memories in use; None where nothing is followed."""
        self.watch = Watch(open_bus, self.wake) if open_bus else None
        """Hears of changes; None where only the poll finds them."""
        self._loader = Loader(lake, candidates, stream, online_store)
        self._use_cases, self._open_champions = use_cases, open_champions
        self._champions: ChampionStore | None = None
        self._lake_stamp, self._retry, self._clock = lake_stamp, retry, clock
        self._stamp: object = None
        self._stamps: dict[str, object] = {}
        self._failed: dict[str, tuple[int, float]] = {}
        self._asked_for: dict[str, dict[int, Release]] = {}
        self._polling = threading.RLock()
        self._woken, self._stopped = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def from_settings(cls, settings: Settings, use_cases: Sequence[str] = ()) -> "Releases":
        """The releases of a deployment: of `use_cases`, and of every use case that has candidates."""
        lake = Lake.from_settings(settings)
        return cls(
            lake,
            CandidateStore(settings.candidates),
            lambda: ChampionStore(settings.state_url),
            lambda: sorted({*use_cases, *_with_candidates(settings.candidates)}),
            lake_stamp=lambda: _stamp_of(settings.lake_catalog),
            stream=StreamFollowing(settings.home, lake, lambda: open_bus(settings.broker_url)),
            open_bus=lambda: open_bus(settings.broker_url),
            online_store=settings.online_store,
        )

    def poll(self) -> None:
        """Look once: load what is new, drop nothing that serves."""
        with self._polling:
            try:
                champions = self._champions = self._champions or self._open_champions()
                self.known = tuple(self._use_cases())
                stamp, before = self._lake_stamp(), self._stamp
                self._stamp, newest = stamp, champions.newest()
                for use_case in self.known:
                    number = newest.get(use_case, 0)
                    self._tell(use_case, self._problem(champions, use_case, number, settled=stamp == before))
                self.trouble = ""
                self._let_go()
            except (MlplatformError, OSError) as error:
                self.trouble = sentence(error) if isinstance(error, MlplatformError) else str(error)

    def load(self, use_case: str, version: int) -> None:
        """Load a released version beside those in use, so that it can be asked for; may take seconds.

        Raises
        ------
        RequestError
            404 for an unknown use case or version, 409 for too many; 503 if it cannot be loaded.
        """
        with self._polling:
            self._in_use(use_case)
            release, asked_for = self._released(use_case, version), self._asked_for.setdefault(use_case, {})
            if len(asked_for) >= MOST_LOADED and version not in asked_for:
                raise RequestError(
                    f"{MOST_LOADED} versions are loaded already.", status=409, hint="Unload one."
                )
            asked_for[version] = release
            self._look_again(use_case)
            if version not in self._in_use(use_case).versions:
                asked_for.pop(version, None)
                problem = self.problems.get(use_case, "it cannot be loaded.")
                self._look_again(use_case)
                raise RequestError(problem, status=503)

    def unload(self, use_case: str, version: int) -> None:
        """Let go of a version that was loaded by request.

        Raises
        ------
        RequestError
            404 for an unknown use case or one that is not loaded; 409 for a version that has a role, as the
            champion does.
        """
        with self._polling:
            deployed = self._in_use(use_case)
            if self._asked_for.get(use_case, {}).pop(version, None) is None:
                has_role = version in deployed.versions
                raise RequestError(
                    f"version {version} of {use_case!r} "
                    + ("has a role: it is not let go by request." if has_role else "is not loaded."),
                    status=409 if has_role else 404,
                    hint="Roles are changed with `mlplatform promote`, `rollback`, `canary` and `shadow`.",
                )
            self._look_again(use_case)

    def wake(self) -> None:
        """Have the thread look now."""
        self._woken.set()

    def start(self, seconds: float = 1.0) -> None:
        """Poll in a thread until `stop`."""
        self._stopped.clear()
        self._thread = threading.Thread(target=self._run, args=(seconds,), name="releases", daemon=True)
        self._thread.start()
        if self.watch is not None:
            self.watch.start()

    def stop(self) -> None:
        """End the thread, and the processes of models; one that is loading ends with the process."""
        self._stopped.set()
        self._woken.set()
        if self.watch is not None:
            self.watch.stop()
        if self._thread is not None:
            self._thread.join(timeout=2.0)
        if self.stream is not None:
            self.stream.follower.stop()
        for deployed in self.current.values():
            for version in deployed.versions.values():
                version.retire()

    def _run(self, seconds: float) -> None:
        self.poll()
        # What is warmed lives as long as the process: visiting it would stop every request for a while.
        gc.collect()
        gc.freeze()
        while not self._stopped.is_set():
            self._woken.wait(seconds)
            self._woken.clear()
            self.poll()

    def _problem(self, champions: ChampionStore, use_case: str, number: int, *, settled: bool) -> str:
        """Why what the history says is not in use, after having tried; empty if it is."""
        if not number:
            return _unreleased(use_case)
        failed, again_at = self._failed.get(use_case, (0, 0.0))
        if failed == number and self._clock() < again_at:
            return self.problems.get(use_case, "")
        present = self.current.get(use_case)
        if present is not None and present.number == number and failed != number:
            return self._refresh(use_case, present, settled=settled)
        deployment = champions.deployment(use_case)
        assert deployment is not None  # it has changes, and the first of them is a promotion
        try:
            problem = self._follow(deployment, present)
        except MlplatformError as error:
            self.refused += 1
            problem = f"Release {deployment.champion.version} is not in use: {sentence(error)}"
        if problem:
            self._failed[use_case] = (number, self._clock() + self._retry)
        else:
            self._failed.pop(use_case, None)
        return problem

    def _follow(self, deployment: Deployment, present: Deployed | None) -> str:
        """Use what a deployment names; what of it cannot be used, beside the champion."""
        release = deployment.champion
        asked_for = self._asked_for.get(release.use_case, {})
        loaded = self._loader.load(deployment, present, list(asked_for.values()))
        self._swap(release.use_case, loaded.deployed)
        about, told = (release.use_case, release.version, release.digest[:12]), {"use_case": release.use_case}
        log.info("%s: release %d (%s) is in use", *about, extra=told)
        return " ".join(loaded.troubles)

    def _refresh(self, use_case: str, present: Deployed, *, settled: bool) -> str:
        """Take in new rows of the lake; one that is being written to is read when the writing pauses."""
        if not settled or self._stamps.get(use_case) == self._stamp:
            return self.problems.get(use_case, "")
        try:
            fresh = self._loader.refreshed(present)
        except MlplatformError as error:
            return f"New rows of the lake are not in use: {sentence(error)}"
        if fresh is not present:
            self._swap(use_case, fresh)
        self._stamps[use_case] = self._stamp
        return ""

    def _swap(self, use_case: str, deployed: Deployed) -> None:
        before = self.current.get(use_case)
        self.current = {**self.current, use_case: deployed}
        self._stamps[use_case] = self._stamp
        if before is not None:
            for number, version in before.versions.items():
                if number not in deployed.versions:
                    version.retire()

    def _let_go(self) -> None:
        """Follow the stream for no memory that is not in use any more."""
        if self.stream is not None:
            versions = (v for deployed in self.current.values() for v in deployed.versions.values())
            self.stream.follower.retain(version.bundle.memory.features for version in versions)

    def _look_again(self, use_case: str) -> None:
        """Load what is to be in use of a use case; what is loaded stays loaded."""
        self._failed[use_case] = (self._in_use(use_case).number, 0.0)
        self.poll()

    def _in_use(self, use_case: str) -> Deployed:
        found = self.current.get(use_case)
        if found is None:
            known = ", ".join(self.current) or "none"
            raise RequestError(f"got use case {shown(use_case)}; in use: {known}.", status=404)
        return found

    def _released(self, use_case: str, version: int) -> Release:
        history = self._champions.history(use_case) if self._champions else ()
        if not 1 <= version <= len(history):
            raise RequestError(
                f"got version {version} of {use_case!r}; released: 1 to {len(history)}.", status=404
            )
        return history[version - 1]

    def _tell(self, use_case: str, problem: str) -> None:
        if problem and problem != self.problems.get(use_case):
            level = logging.INFO if problem == _unreleased(use_case) else logging.WARNING
            log.log(level, "%s: %s", use_case, problem, extra={"use_case": use_case})
        others = {name: text for name, text in self.problems.items() if name != use_case}
        self.problems = {**others, use_case: problem} if problem else others


def _unreleased(use_case: str) -> str:
    return f"No champion of {use_case!r} was released yet. Run `mlplatform run {use_case}` first."


def _with_candidates(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return [path.name for path in folder.iterdir() if path.is_dir() and _USE_CASE.fullmatch(path.name)]


def _stamp_of(catalog: Path) -> object:
    try:
        status = catalog.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
