"""The check `served_parity`: what was served is what batch computes, or the difference is shown."""

import shutil
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from dagster import DagsterInstance

from mlplatform.crosscutting.settings import Settings
from mlplatform.offline import project
from mlplatform.offline.assets._shared import key
from mlplatform.offline.declared import Declared
from mlplatform.offline.served_parity import Found, look
from mlplatform.offline.use_case import definitions
from mlplatform.online.releases import Releases
from mlplatform.online.served_log import ServedLog
from mlplatform.online.service import ScoringService
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.lake import Lake, Table
from mlplatform_tests.conftest import Finished
from mlplatform_tests.small import world

DAY = "2025-04-29"
BEGIN, END = datetime(2025, 4, 29, tzinfo=UTC), datetime(2025, 4, 30, tzinfo=UTC)
SERVED = Table(world.NAME, "served")
FEATURES = 11


@pytest.fixture(scope="module")
def declared(finished: Finished) -> Declared:
    return project.load(finished.folder)


@pytest.fixture
def settings(finished: Finished, tmp_path: Path) -> Settings:
    """A copy of the finished home in which every order of DAY was asked about."""
    home = shutil.copytree(finished.home, tmp_path / "home")
    settings = Settings.load({"MLPLATFORM_HOME": str(home)})
    releases = Releases.from_settings(settings, [world.NAME])
    releases.poll()
    with closing(Lake.from_settings(settings)) as lake:
        log = ServedLog(lake.write_all)
        service = ScoringService(releases, log.add)
        facts = list(releases.current[world.NAME].bundle.facts.names)
        for row in lake.read(Table(world.NAME, "orders"), columns=facts, first=DAY).to_dicts():
            service.score(world.NAME, row)
        log.close()
    return settings


def looked(declared: Declared, settings: Settings) -> Found:
    with closing(Lake.from_settings(settings)) as lake:
        return look(declared, lake, CandidateStore(settings.candidates), BEGIN, END)


def alter(settings: Settings, change: pl.Expr) -> None:
    with closing(Lake.from_settings(settings)) as lake:
        rows = lake.read(SERVED)
        lake.write(SERVED, rows.with_columns(change), rows["partition_key"].unique().to_list())


def checked(declared: Declared, settings: Settings) -> tuple[bool, dict[str, object]]:
    """Materialise the scores of DAY; whether the check passed, and what it said."""
    with DagsterInstance.ephemeral() as instance:
        done = (
            definitions(declared, settings)
            .resolve_implicit_global_asset_job_def()
            .execute_in_process(
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                instance=instance,
                asset_selection=[key(declared, "scores")],
                partition_key=DAY,
            )
        )
    (found,) = done.get_asset_check_evaluations()
    assert found.check_name == "served_parity"
    return found.passed, {name: value.value for name, value in found.metadata.items()}


def test_what_was_served_is_what_batch_computes(declared: Declared, settings: Settings) -> None:
    found = looked(declared, settings)
    assert found.equal
    assert found.answers == world.ORDERS_A_DAY
    assert found.cells == world.ORDERS_A_DAY * FEATURES
    passed, said = checked(declared, settings)
    assert passed
    assert (said["answers compared"], said["cells different"]) == (world.ORDERS_A_DAY, 0)


def test_a_cell_and_a_score_that_differ_are_shown(declared: Declared, settings: Settings) -> None:
    first = pl.int_range(pl.len()) == 0
    other = pl.col("vector").list.eval(pl.element() + 1e-9 * (pl.int_range(pl.len()) == 2))
    alter(settings, pl.when(first).then(other).otherwise("vector").alias("vector"))
    alter(settings, pl.when(pl.int_range(pl.len()) == 1).then(0.25).otherwise("score").alias("score"))
    found = looked(declared, settings)
    assert (found.cells_different, found.scores_different) == (1, 1)
    assert [each["feature"] for each in found.different] == ["weekday", "score"]
    assert found.different[1]["served"] == "0.25"
    passed, said = checked(declared, settings)
    assert not passed
    assert (said["cells different"], said["scores different"]) == (1, 1)
    assert "which" in said


def test_rows_that_came_after_the_answer_are_seen(declared: Declared, settings: Settings) -> None:
    with closing(Lake.from_settings(settings)) as lake:
        place = Table(world.NAME, "orders")
        rows = lake.read(place, first="2025-04-28", last="2025-04-28")
        lake.write(place, rows.tail(10), ["2025-04-28"])
    found = looked(declared, settings)
    assert not found.equal
    assert found.cells_different + found.scores_different > len(found.different) == 20


def test_answers_of_a_candidate_that_is_gone_are_counted(declared: Declared, settings: Settings) -> None:
    alter(settings, pl.lit("0" * 64).alias("digest"))
    found = looked(declared, settings)
    assert (found.answers, found.without_candidate) == (0, world.ORDERS_A_DAY)


def test_where_nothing_was_served_it_passes_and_says_so(
    declared: Declared, finished: Finished, tmp_path: Path
) -> None:
    home = shutil.copytree(finished.home, tmp_path / "quiet")
    passed, said = checked(declared, Settings.load({"MLPLATFORM_HOME": str(home)}))
    assert passed
    assert said["answers compared"] == 0
    assert "Nothing was served" in str(said["note"])
