"""Loads what a deployment names: bundles with warmed memories, batch scores; what is loaded already is kept.

It must not decide when to load, nor answer requests. To be used from one thread.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from mlplatform.errors import MlplatformError, NotFound, ServiceError
from mlplatform.online.bundle import Bundle, open_bundle
from mlplatform.online.deployed import Deployed
from mlplatform.online.recovery import StreamFollowing
from mlplatform.online.replies import sentence
from mlplatform.online.version import Version
from mlplatform.stages.deployment.alias import Deployment
from mlplatform.stages.deployment.release import Release
from mlplatform.stages.preparation.declarations import FeatureSet
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.lake import Lake
from mlplatform.stores.online import open_online_store, shared, without_password
from mlplatform.stores.precomputed import Precomputed, precomputed, scores_print
from mlplatform.stores.warmup import Memory, fingerprint, warm


@dataclass
class Loaded:
    """What was made of a deployment, and what of it could not be loaded."""

    deployed: Deployed
    troubles: list[str] = field(default_factory=list)


class Loader:
    """Makes `Deployed` values.

    Parameters
    ----------
    stream
        what every warmed memory joins before it is used.
    online_store
        URL of the Online Feature Store; one that is shared is asked for every vector, and others fill it.
    """

    def __init__(
        self,
        lake: Lake,
        candidates: CandidateStore,
        stream: StreamFollowing | None = None,
        online_store: str = "memory://",
    ) -> None:
        self._lake, self._candidates, self._stream, self._online_store = (
            lake,
            candidates,
            stream,
            online_store,
        )
        self._precomputed: dict[str, tuple[object, Precomputed | None]] = {}
        self._lately: dict[str, list[Memory]] = {}
        """Memories made by the present call, which several versions share."""

    def load(
        self, deployment: Deployment, present: Deployed | None, asked_for: Iterable[Release] = ()
    ) -> Loaded:
        """What a deployment names, and releases beside it; only the champion has to load.

        Raises
        ------
        MlplatformError
            if the champion cannot be loaded.
        """
        self._lately.clear()
        there = {} if present is None else present.versions
        troubles: list[str] = []

        def other(release: Release | None, role: str) -> Version | None:
            try:
                return self._version(release, there) if release is not None else None
            except MlplatformError as error:
                assert release is not None
                troubles.append(f"Version {release.version} ({role}) is not in use: {sentence(error)}")
                return None

        champion = self._version(deployment.champion, there)
        there[deployment.champion.version] = champion
        kept = deployment.previous[: deployment.champion.policy.previous_versions]
        previous = [other(release, "fallback") for release in kept]
        deployed = Deployed(
            number=deployment.number,
            champion=champion,
            previous=tuple(version for version in previous if version is not None),
            canary=other(deployment.canary, "canary"),
            share=deployment.share,
            shadow=other(deployment.shadow, "shadow"),
            asked_for=tuple(v for release in asked_for if (v := other(release, "loaded")) is not None),
        )
        return Loaded(replace(deployed, precomputed=self._batch_scores(deployed)), troubles)

    def refreshed(self, present: Deployed) -> Deployed:
        """The same with the rows that the lake has now; `present` itself if it has no others."""
        self._lately.clear()
        fresh = {number: self._fresh(version, present) for number, version in present.versions.items()}

        def of(version: Version | None) -> Version | None:
            return None if version is None else fresh[version.bundle.release.version]

        table = self._batch_scores(present)
        if table is present.precomputed and all(fresh[n] is v for n, v in present.versions.items()):
            return present
        return replace(
            present,
            champion=fresh[present.bundle.release.version],
            previous=tuple(fresh[version.bundle.release.version] for version in present.previous),
            canary=of(present.canary),
            shadow=of(present.shadow),
            asked_for=tuple(fresh[version.bundle.release.version] for version in present.asked_for),
            precomputed=table,
        )

    def _version(self, release: Release, there: dict[int, Version]) -> Version:
        """The loaded version of a release, loaded if it is not there."""
        found = there.get(release.version)
        if found is not None and found.bundle.release == release:
            return found
        bundles = [version.bundle for version in there.values()]
        try:
            bundle = open_bundle(
                release, self._candidates, lambda wanted: self._memory(release.use_case, wanted, bundles)
            )
        except MlplatformError:
            raise
        except Exception as error:
            # A file that breaks a library must not end the thread that would pick up the next release.
            raise ServiceError(
                f"loading failed: {type(error).__name__}: {str(error)[:300]}.",
                hint="This is a defect; the log has the details.",
            ) from error
        there[release.version] = version = Version(bundle, self._candidates.root)
        return version

    def _fresh(self, version: Version, present: Deployed) -> Version:
        bundle = version.bundle
        others = [bundle, *(each.bundle for each in present.versions.values())]
        memory = self._memory(bundle.release.use_case, bundle.fitted.feature_set, others)
        return version if memory is bundle.memory else version.with_bundle(replace(bundle, memory=memory))

    def _memory(self, use_case: str, feature_set: FeatureSet, bundles: Sequence[Bundle]) -> Memory:
        """A warmed memory: one in use if it remembers the same rows for the same features."""
        alike = [bundle.memory for bundle in bundles if bundle.fitted.feature_set == feature_set]
        alike += [m for m in self._lately.get(use_case, []) if m.features.feature_set == feature_set]
        if alike:
            printed = fingerprint(self._lake, use_case, feature_set)
            found = next((memory for memory in alike if memory.fingerprint == printed), None)
            if found is not None:
                return found
        memory = self._warmed(use_case, feature_set)
        self._lately.setdefault(use_case, []).append(memory)
        return memory

    def _warmed(self, use_case: str, feature_set: FeatureSet) -> Memory:
        if shared(self._online_store):
            return self._shared(use_case, feature_set)
        memory = warm(self._lake, use_case, feature_set)
        if self._stream is not None:
            self._stream.join(use_case, memory)
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

    def _batch_scores(self, deployed: Deployed) -> Precomputed | None:
        """Those of the champion and the versions that may answer for it; read again if there are others."""
        policy, use_case = deployed.policy, deployed.bundle.release.use_case
        if policy.precomputed == "never":
            return None
        chain = (deployed.champion, *deployed.previous)
        versions = [version.bundle.release.version for version in chain]
        printed = (versions, policy, scores_print(self._lake, use_case, versions))
        known, table = self._precomputed.get(use_case, (None, None))
        if known != printed:
            key = deployed.bundle.fitted.feature_set.spine.key
            table = precomputed(self._lake, use_case, key, versions, policy.valid_minutes)
            self._precomputed[use_case] = (printed, table)
        return table
