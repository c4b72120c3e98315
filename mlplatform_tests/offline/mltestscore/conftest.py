"""A deployment of one's own: the finished small use case, copied, to be changed and scored again."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import msgspec
import polars as pl
import pytest

from mlplatform.crosscutting.settings import Settings
from mlplatform.offline import project
from mlplatform.offline.declared import Declared
from mlplatform.offline.mltestscore.gather import ml_test_score
from mlplatform.offline.mltestscore.home import Home
from mlplatform.offline.mltestscore.results import Found
from mlplatform.stages.deployment.release import Release
from mlplatform.stages.monitoring.rubric import Evidence, Score
from mlplatform.stores.champions import ChampionStore
from mlplatform.stores.lake import Lake
from mlplatform.stores.proofs import Proof, ProofStore
from mlplatform.stores.served import OWN, SERVED
from mlplatform_tests.conftest import Finished
from mlplatform_tests.small import world


def by_test(score: Score) -> dict[str, Evidence]:
    """The evidence by the name of its test."""
    return {each.test: each for of_section in score.evidence.values() for each in of_section}


@dataclass
class Deployed:
    """A home and the folder of its use case."""

    folder: Path
    home: Path

    @cached_property
    def settings(self) -> Settings:
        return Settings.load(
            {"MLPLATFORM_HOME": str(self.home), "MLPLATFORM_BROKER_URL": "nats://127.0.0.1:9"}
        )

    @cached_property
    def declared(self) -> Declared:
        return project.load(self.folder)

    def edit(self, old: str, new: str) -> None:
        """Change the declaration."""
        world.edit(self.folder / "defs.yaml", old, new)
        self.__dict__.pop("declared", None)

    @cached_property
    def lake(self) -> Lake:
        return Lake.from_settings(self.settings)

    def score(self, now: datetime | None = None) -> Score:
        return ml_test_score(self.declared, self.settings, now or datetime.now(UTC))

    def evidence(self, now: datetime | None = None) -> dict[str, Evidence]:
        return by_test(self.score(now))

    def found(
        self, look_up: Callable[[Home], Found], now: datetime | None = None, declared: Declared | None = None
    ) -> Found:
        """What one look-up says."""
        with ExitStack() as stack:
            known = declared or self.declared
            return look_up(Home(known, self.settings, now or datetime.now(UTC), self.lake, stack))

    def write(self, table: str, rows: pl.DataFrame, *partitions: str) -> None:
        """Put rows in the place of partitions of a table; columns that are not given are null."""
        name = self.declared.table(table)
        if self.lake.exists(name):
            stored = self.lake.read(name, partitions=[]).schema
            rows = rows.with_columns(
                pl.lit(None, kind).alias(c) for c, kind in stored.items() if c not in rows
            )
        self.lake.write(name, rows, partitions, evolve=True)

    def read(self, table: str) -> pl.DataFrame:
        return self.lake.read(self.declared.table(table))

    def prove(self, name: str, at: datetime, *, passed: bool = True, **figures: object) -> None:
        proof = Proof(
            use_case=world.NAME, name=name, at=at, by="ann@host", passed=passed, figures=dict(figures)
        )
        with closing(ProofStore(self.settings.state_url)) as store:
            store.add(proof)

    def trained(self, **told: object) -> None:
        """Say other things in the champion's metadata, which decides no score."""
        folder = self.settings.candidates / world.NAME / self.champion.digest
        file, sums = folder / "metadata.json", folder / "SHA256SUMS"
        file.write_bytes(msgspec.json.encode(msgspec.json.decode(file.read_bytes()) | told))
        new = f"{sha256(file.read_bytes()).hexdigest()}  {file.name}"
        listed = sums.read_text().splitlines()
        sums.write_text("".join(f"{new if each.endswith(file.name) else each}\n" for each in listed))

    @property
    def champion(self) -> Release:
        with closing(ChampionStore(self.settings.state_url)) as store:
            found = store.champion(world.NAME)
        assert found is not None
        return found


@pytest.fixture(autouse=True)
def _its_dagster_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening an instance sets this variable; what it was comes back after the test."""
    monkeypatch.setenv("DAGSTER_HOME", "")


@pytest.fixture
def deployed(finished: Finished, tmp_path: Path) -> Iterator[Deployed]:
    """A copy of the finished use case with its home."""
    shutil.copytree(finished.project, tmp_path / "project")
    made = Deployed(tmp_path / "project" / world.NAME, tmp_path / "project" / "home")
    yield made
    made.lake.close()


@pytest.fixture(scope="module")
def first(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Score:
    """The score of the finished use case as its first run left it."""
    project = tmp_path_factory.mktemp("first") / "project"
    shutil.copytree(finished.project, project)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", "")
        return Deployed(project / world.NAME, project / "home").score()


def answered(
    deployed: Deployed,
    *,
    version: int,
    milliseconds: list[float],
    link: str = "champion",
    day: str = "2025-04-28",
) -> None:
    """Log answers of a version, in the place of those of that day."""
    rows = len(milliseconds)
    frame = pl.DataFrame(
        {
            "prediction_id": [f"{version}-{number}" for number in range(rows)],
            "version": [version] * rows,
            "link": [link] * rows,
            "score": [0.25] * rows,
            "serving_ms": milliseconds,
            "answered_at": [datetime(2026, 4, 30, tzinfo=UTC)] * rows,
            "partition_key": [day] * rows,
        },
        schema_overrides={"answered_at": OWN["answered_at"]},
    )
    deployed.write(SERVED, frame, day)
