"""Makes the package of a candidate and runs the contract tests on it as it reads back.

It must not import Dagster, choose a champion, or change what is in use.
"""

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import FeatureError, MlplatformError, NotFound
from mlplatform.offline.declared import Declared
from mlplatform.offline.evaluated import JUDGED
from mlplatform.stages.deployment import package
from mlplatform.stages.deployment.alias import Deployment
from mlplatform.stages.deployment.card import Facts, Figure
from mlplatform.stages.deployment.contract import TESTS, WARNS, Clock, Finding, examined, faults
from mlplatform.stages.deployment.package import Link
from mlplatform.stages.deployment.policy import Policy
from mlplatform.stages.deployment.release import Release
from mlplatform.stages.preparation.declarations import FeatureSet
from mlplatform.stages.preparation.fitted import FittedFeatureSet
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.lake import KEY, Lake
from mlplatform.stores.packages import PackageStore
from mlplatform.stores.warmup import Memory, warm

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Made:
    """A candidate as its table knows it; `model` is the name in defs.yaml."""

    model: str
    digest: str
    as_of: str


@dataclass(frozen=True)
class Packed:
    """A package that was made, and what its contract tests found; no id if it could not be made."""

    made: Made
    id: str
    folder: Path | None
    findings: tuple[Finding, ...]
    figures: tuple[Figure, ...] = ()

    @property
    def fault(self) -> str:
        """Why it is refused; empty if it is not."""
        return faults(self.findings)


class Packager:
    """Packages candidates of one use case; `close` it."""

    def __init__(
        self,
        declared: Declared,
        lake: Lake,
        candidates: CandidateStore,
        packages: PackageStore,
        clock: Clock = time.perf_counter,
    ) -> None:
        self._declared, self._lake = declared, lake
        self._candidates, self._packages, self._clock = candidates, packages, clock
        # Candidates of one date have mostly the same features: the memory is filled once.
        self._memories: dict[str, Memory | None] = {}

    @classmethod
    def from_settings(cls, declared: Declared, settings: Settings, lake: Lake) -> "Packager":
        """The packager of a deployment."""
        return cls(declared, lake, CandidateStore(settings.candidates), PackageStore(settings.packages))

    def pack(self, made: Made, present: Deployment | None, release: Release | None = None) -> Packed:
        """The package of a candidate, stored and tested; `present` gives the versions that answer for it.

        It is served as its `release` says, or before there is one as defs.yaml does. A candidate that is
        damaged, or absent, gives findings that say so, and no package.
        """
        policy, threshold = self._served(release)
        figures = self.figures(made)
        try:
            files = package.build(
                self._candidates.files(self._declared.name, made.digest),
                self._facts(figures),
                model=made.model,
                as_of=made.as_of,
                threshold=threshold,
                policy=policy,
                chain=_chain(made.digest, present, policy.previous_versions),
            )
            folder = self._candidates.folder(self._declared.name, made.digest)
            id = self._packages.put(self._declared.name, files, folder)
        except (MlplatformError, ValueError, KeyError) as error:
            return Packed(made, "", None, _unreadable(str(error)), figures)
        return Packed(made, id, self._packages.folder(self._declared.name, id), self.test(id), figures)

    def test(self, id: str) -> tuple[Finding, ...]:
        """The contract tests of a stored package, on what is read back."""
        try:
            read = package.read(self._packages.get(self._declared.name, id))
        except MlplatformError as error:
            return _unreadable(str(error))
        return examined(read, self._example, self._clock)

    def figures(self, made: Made) -> tuple[Figure, ...]:
        """What the evaluation of a candidate found on each part; none if it was not evaluated."""
        table = self._declared.table(f"evaluation_{made.model}")
        if not self._lake.exists(table):
            return ()
        rows = self._lake.read(table, partitions=[made.as_of]).filter(
            pl.col("digest") == made.digest, pl.col("part").is_in(JUDGED)
        )
        return tuple(
            Figure(row["part"], row["figure"], row["value"], row.get("low"), row.get("high"))
            for row in rows.iter_rows(named=True)
        )

    def _served(self, release: Release | None) -> tuple[Policy, float]:
        config = self._declared.config
        if release is None:
            return config.serving.policy, config.threshold
        return release.policy, release.figures.get("threshold", config.threshold)

    def _facts(self, figures: tuple[Figure, ...]) -> Facts:
        config = self._declared.config
        return Facts(
            title=config.title,
            description=config.description,
            owners=tuple(config.owners),
            target=config.target,
            figures=figures,
        )

    def _example(self, fitted: FittedFeatureSet) -> Sequence[Sequence[Any]]:
        asked = questions(self._declared)
        memory = self._memory(fitted.feature_set) if asked else None
        try:
            return [memory.features.vector(facts) for facts in asked] if memory else []
        except FeatureError:
            return []  # it is of a time whose rows are no longer in memory

    def _memory(self, feature_set: FeatureSet) -> Memory | None:
        """Warmed once for all candidates of a feature set: it takes seconds."""
        if feature_set.id not in self._memories:
            try:
                self._memories[feature_set.id] = warm(self._lake, self._declared.name, feature_set)
            except NotFound:
                self._memories[feature_set.id] = None
        return self._memories[feature_set.id]


def candidates(declared: Declared, lake: Lake) -> list[Made]:
    """Every candidate that the tables know, the oldest date first."""
    found = []
    for model in declared.config.models:
        table = declared.table(f"candidate_{model}")
        if lake.exists(table):
            rows = lake.read(table, columns=["model", "digest", KEY])
            found += [Made(*row) for row in rows.select("model", "digest", KEY).iter_rows()]
    return sorted(found, key=lambda made: (made.as_of, made.model))


def candidates_of(declared: Declared, settings: Settings) -> list[Made]:
    """`candidates`, of a deployment."""
    with closing(Lake.from_settings(settings)) as lake:
        return candidates(declared, lake)


def questions(declared: Declared) -> list[dict[str, Any]]:
    """The declared example as facts of rows; none if there is none."""
    example, output = declared.config.example, declared.config.output
    types = declared.feature_set.spine.facts
    told = example if isinstance(example, list) else [example] if example else []
    rows = []
    for facts in told:
        row = {name: _value(facts.get(name), kind) for name, kind in types.items()}
        if output.time and row[output.time] is None:
            row[output.time] = row[
                output.start
            ]  # a forecast is asked for by its start; this is its first row
        rows.append(row)
    return rows


def _value(value: Any, kind: str) -> Any:
    """A time as microseconds since 1970, as online features take it."""
    if kind != "time" or not isinstance(value, str):
        return value
    return (datetime.fromisoformat(value) - _EPOCH) // timedelta(microseconds=1)


def _chain(digest: str, present: Deployment | None, most: int) -> tuple[Link, ...]:
    """The champions that answer for the model, once it is the champion."""
    before = (present.champion, *present.previous) if present else ()
    others = [release for release in before if release.digest != digest]
    return tuple(Link(release.version, release.model, release.digest) for release in others[:most])


def _unreadable(said: str) -> tuple[Finding, ...]:
    """The findings of what cannot be read at all."""
    first, *rest = TESTS
    return (
        Finding(first, False, said),
        *(Finding(name, False, "not tried", name not in WARNS) for name in rest),
    )
