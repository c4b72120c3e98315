"""The samples of the scoring service, gathered from what its parts have counted.

It must not be on the path of a request: it reads, in any thread, what another one writes.
"""

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version as installed
from typing import Any

from mlplatform.crosscutting.metrics import Family, Samples, process
from mlplatform.crosscutting.metrics.families import Labels
from mlplatform.online.deployed import Deployed
from mlplatform.online.metrics import families, requests
from mlplatform.online.metrics.requests import Counts
from mlplatform.online.service import ScoringService
from mlplatform.stages.preparation.online import OnlineFeatures

MOST_VERSIONS = 20
"""Versions of a use case that are told of beside those in use, the newest ones: each is many series."""
_WEBHOOKS = ("delivered", "retried", "undelivered", "lost", "refused")
_RPC = ("handled", "failed", "refused")


class ScoringMetrics:
    """Gathers the samples of one process.

    Parameters
    ----------
    counts, gate : requests by route and status; those refused at the gate, by kind and status.
    beside : status of the parts that work beside the answers: `served`, `delivery`, `rpc`.
    worker : number of this process among several.
    """

    def __init__(
        self,
        service: ScoringService,
        counts: Counts,
        gate: Mapping[tuple[str, int], int],
        beside: Callable[[], Mapping[str, Any]],
        worker: int,
    ) -> None:
        self._service, self._counts, self._gate = service, counts, gate
        self._beside, self._worker = beside, worker
        self._version = installed("mlplatform")

    def collect(self) -> Samples:
        """All samples of this process at this moment."""
        found = Gathered(requests.samples(self._counts, self._gate) | process.samples(self._worker))
        found.set(families.BUILD, (self._version,), 1)
        found.set(families.WORKERS, (), 1)
        found.set(families.SHADOW_DROPPED, (), self._service.chain.shadows_dropped)
        found.set(families.LOAD_FAILURES, (), self._service.releases.refused)
        self._answers(found)
        self._use_cases(found)
        _parts(found, self._beside())
        return found.samples

    def shown(self, samples: Samples) -> Samples:
        """`samples` without versions that are out of use for long."""
        current = self._service.releases.current
        loaded = {(name, str(number)) for name, deployed in current.items() for number in deployed.versions}
        for family in families.SCORING:
            if family.labels[:2] == ("use_case", "version") and family.name in samples:
                values = samples[family.name]
                samples[family.name] = {labels: values[labels] for labels in _newest(values, loaded)}
        return samples

    def _answers(self, found: "Gathered") -> None:
        chain = self._service.chain
        for (use_case, version, link), tally in dict(chain.tallies.by_version).items():
            labels = (use_case, str(version), link)
            found.set(families.ANSWERS, labels, tally.rows)
            found.set(families.LATE, labels, tally.late)
            found.samples.setdefault(families.SECONDS.name, {})[labels] = [*tally.buckets, tally.seconds]
        for use_case, age in dict(chain.tallies.ages).items():
            found.set(families.AGE, (use_case,), age)
        for (use_case, version, reason), count in dict(chain.tallies.failures).items():
            found.set(families.FAILURES, (use_case, str(version), reason), count)
        for use_case, count in dict(chain.fallbacks).items():
            found.set(families.FALLBACKS, (use_case,), count)

    def _use_cases(self, found: "Gathered") -> None:
        releases = self._service.releases
        current = releases.current
        for use_case in {*releases.known, *current}:
            found.set(families.READY, (use_case,), use_case in current)
        for use_case, deployed in current.items():
            memory = deployed.bundle.memory
            stream = releases.stream.status(use_case, memory) if releases.stream else {}
            if "lag" in stream:
                found.set(families.LAG, (use_case,), stream["lag"])
            if isinstance(memory.features, OnlineFeatures):  # one that is shared would have to be asked
                found.set(families.NEWEST, (use_case,), memory.now_us / 1e6)
                found.set(families.KEYS, (use_case,), memory.features.keys)
            found.begin(families.FALLBACKS, (use_case,))
            _versions(found, use_case, deployed)


class Gathered:
    """Samples as they are found."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def set(self, family: Family, labels: Labels, value: float) -> None:
        """A sample."""
        self.samples.setdefault(family.name, {})[labels] = float(value)

    def begin(self, family: Family, labels: Labels) -> None:
        """Zero, unless there is a sample: where nothing is told of, a first time would not show."""
        self.samples.setdefault(family.name, {}).setdefault(labels, 0.0)


def _versions(found: Gathered, use_case: str, deployed: Deployed) -> None:
    for number, version in deployed.versions.items():
        found.set(families.BREAKER, (use_case, str(number)), version.breaker.is_open)
        for reason in ("error", "timeout"):
            found.begin(families.FAILURES, (use_case, str(number), reason))
    found.begin(families.ANSWERS, (use_case, str(deployed.bundle.release.version), "champion"))
    found.begin(families.LATE, (use_case, str(deployed.bundle.release.version), "champion"))
    for role, version in _roles(deployed):
        release = version.bundle.release
        labels = (use_case, role, str(release.version), release.model, release.digest)
        found.set(families.RELEASE, labels, 1)


def _roles(deployed: Deployed) -> Iterator[tuple[str, Any]]:
    yield "champion", deployed.champion
    if deployed.canary is not None:
        yield "canary", deployed.canary
    if deployed.shadow is not None:
        yield "shadow", deployed.shadow
    for version in deployed.previous:
        yield "previous", version


def _parts(found: Gathered, beside: Mapping[str, Any]) -> None:
    if served := beside.get("served"):
        found.set(families.LOG_WRITTEN, (), served["written"])
        found.set(families.LOG_LOST, (), served["lost"])
        found.set(families.LOG_WAITING, (), served["waiting"])
    if delivery := beside.get("delivery"):
        for outcome in _WEBHOOKS:
            found.set(families.WEBHOOKS, (outcome,), delivery["webhooks"][outcome])
        found.set(families.WEBHOOKS_WAITING, (), delivery["webhooks"]["waiting"])
    if rpc := beside.get("rpc"):
        for outcome in _RPC:
            found.set(families.RPC, (outcome,), rpc.get(outcome, 0))


def _newest(values: Mapping[Labels, Any], loaded: set[tuple[str, str]]) -> list[Labels]:
    """Labels (use case, version, …) of the versions in use, and of the newest others."""
    kept = set(loaded)
    for use_case in {labels[0] for labels in values}:
        versions = sorted({int(labels[1]) for labels in values if labels[0] == use_case}, reverse=True)
        kept |= {(use_case, str(version)) for version in versions[:MOST_VERSIONS]}
    return [labels for labels in values if labels[:2] in kept]
