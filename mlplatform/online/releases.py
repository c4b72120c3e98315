"""Follows the champion history: loads each new release beside the old one, then swaps one reference.

A thread polls once a second. A release that cannot be loaded stays out, the old one serves on, and
`problems` says why. It must not answer requests; who answers reads `current`, and never a lock.
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mlplatform.crosscutting.bus import open_bus
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import MlplatformError, NotFound, ServiceError
from mlplatform.online.bundle import Bundle, open_bundle
from mlplatform.online.recovery import StreamFollowing
from mlplatform.online.replies import sentence
from mlplatform.stages.deployment.release import Release
from mlplatform.stages.preparation.declarations import FeatureSet
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.champions import ChampionStore
from mlplatform.stores.lake import Lake
from mlplatform.stores.online import open_online_store, shared, without_password
from mlplatform.stores.warmup import Memory, fingerprint, warm

log = logging.getLogger(__name__)

_USE_CASE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_STARTING = "The service is starting and has not looked for releases yet."


class Releases:
    """The bundles in use, by use case.

    Parameters
    ----------
    use_cases
        gives the names to follow; asked at every poll.
    lake_stamp
        changes when anything is committed to the lake; cheap.
    stream
        what every warmed memory joins before it is used.
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
        online_store: str = "memory://",
        retry: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.current: Mapping[str, Bundle] = {}
        """Replaced as a whole, never changed: read it once per request."""
        self.problems: Mapping[str, str] = {}
        """Per use case why its newest release, or any, is not in use."""
        self.known: tuple[str, ...] = ()
        self.trouble = _STARTING
        """What keeps the service as a whole from following releases; empty if nothing does."""
        self.stream = stream
        """Brings events into the memories in use; None where nothing is followed."""
        self._lake, self._candidates, self._use_cases = lake, candidates, use_cases
        self._open_champions, self._online_store = open_champions, online_store
        self._champions: ChampionStore | None = None
        self._lake_stamp, self._retry, self._clock = lake_stamp, retry, clock
        self._stamp: object = None
        self._stamps: dict[str, object] = {}
        self._failed: dict[str, tuple[int, float]] = {}
        self._stopped = threading.Event()
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
            online_store=settings.online_store,
        )

    def poll(self) -> None:
        """Look once: load what is new, drop nothing."""
        try:
            self._champions = self._champions or self._open_champions()
            self.known = tuple(self._use_cases())
            stamp, before = self._lake_stamp(), self._stamp
            self._stamp = stamp
            for use_case in self.known:
                self._tell(use_case, self._problem(self._champions, use_case, settled=stamp == before))
            self.trouble = ""
            if self.stream is not None:
                self.stream.follower.retain(bundle.memory.features for bundle in self.current.values())
        except (MlplatformError, OSError) as error:
            self.trouble = sentence(error) if isinstance(error, MlplatformError) else str(error)

    def start(self, seconds: float = 1.0) -> None:
        """Poll in a thread until `stop`."""
        self._stopped.clear()
        self._thread = threading.Thread(target=self._run, args=(seconds,), name="releases", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; one that is loading ends with the process."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=2.0)
        if self.stream is not None:
            self.stream.follower.stop()

    def _run(self, seconds: float) -> None:
        while True:
            self.poll()
            if self._stopped.wait(seconds):
                return

    def _problem(self, champions: ChampionStore, use_case: str, *, settled: bool) -> str:
        """Why the champion is not in use, after having tried; empty if it is."""
        release = champions.champion(use_case)
        if release is None:
            return f"No champion of {use_case!r} was released yet. Run `mlplatform run {use_case}` first."
        version, again_at = self._failed.get(use_case, (0, 0.0))
        if version == release.version and self._clock() < again_at:
            return self.problems.get(use_case, "")
        try:
            self._follow(release, settled=settled)
        except MlplatformError as error:
            self._failed[use_case] = (release.version, self._clock() + self._retry)
            return f"Release {release.version} is not in use: {sentence(error)}"
        self._failed.pop(use_case, None)
        return ""

    def _tell(self, use_case: str, problem: str) -> None:
        if problem and problem != self.problems.get(use_case):
            log.warning("%s: %s", use_case, problem)
        others = {name: text for name, text in self.problems.items() if name != use_case}
        self.problems = {**others, use_case: problem} if problem else others

    def _follow(self, release: Release, *, settled: bool) -> None:
        try:
            new = self._newer(release, self.current.get(release.use_case), settled=settled)
        except MlplatformError:
            raise
        except Exception as error:
            log.exception("%s: release %d cannot be loaded", release.use_case, release.version)
            # A file that breaks a library must not end the thread that would pick up the next release.
            raise ServiceError(
                f"loading failed: {type(error).__name__}: {str(error)[:300]}.",
                hint="This is a defect; the log has the details.",
            ) from error
        if new is not None:
            self.current = {**self.current, release.use_case: new}
            log.info("%s: release %d (%s) is in use", release.use_case, release.version, release.digest[:12])

    def _newer(self, release: Release, bundle: Bundle | None, *, settled: bool) -> Bundle | None:
        """The bundle to put in the place of `bundle`; None if that one is still right."""
        if bundle is None or bundle.release.version != release.version:
            return open_bundle(
                release, self._candidates, lambda wanted: self._memory(release, wanted, bundle)
            )
        # A lake that is being written to is read when the writing pauses, not once per commit.
        if not settled or self._stamps.get(release.use_case) == self._stamp:
            return None
        memory = self._memory(release, bundle.fitted.feature_set, bundle)
        return None if memory is bundle.memory else replace(bundle, memory=memory)

    def _memory(self, release: Release, feature_set: FeatureSet, bundle: Bundle | None) -> Memory:
        """A warmed memory: that of the bundle in use if it remembers the same rows for the same features."""
        use_case, stamp = release.use_case, self._stamp
        same = bundle is not None and bundle.fitted.feature_set == feature_set
        if same and bundle is not None:
            printed = fingerprint(self._lake, use_case, feature_set)
            if printed == bundle.memory.fingerprint:
                self._stamps[use_case] = stamp
                return bundle.memory
        if shared(self._online_store):
            memory = self._shared(use_case, feature_set)
        else:
            memory = warm(self._lake, use_case, feature_set)
        if self.stream is not None and not shared(self._online_store):
            self.stream.join(use_case, memory)
        self._stamps[use_case] = stamp
        return memory

    def _shared(self, use_case: str, feature_set: FeatureSet) -> Memory:
        """The store that others fill: `mlplatform warm`, the asset `replicated`, and the preparation."""
        store = open_online_store(self._online_store, feature_set, use_case)
        if store.newest is None:
            raise NotFound(
                f"the online store {without_password(self._online_store)} has no rows for {feature_set.id}.",
                hint=f"Fill it: `mlplatform warm {use_case}`.",
            )
        return Memory(store, fingerprint(self._lake, use_case, feature_set), "", None, {})


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
