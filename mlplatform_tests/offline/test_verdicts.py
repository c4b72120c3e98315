"""The history of verdicts: who won as of a date, who was champion then, dates that only one store knows."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from mlplatform.crosscutting.settings import Settings
from mlplatform.offline import project, verdicts
from mlplatform.offline.declared import Declared
from mlplatform.stages.deployment.release import Promotion
from mlplatform.stores.champions import ChampionStore
from mlplatform.stores.lake import Lake
from mlplatform_tests.small import world

DATES = ("2025-03-10", "2025-03-20", "2025-04-08")


@pytest.fixture
def declared(tmp_path: Path) -> Declared:
    return project.load(world.make_use_case(tmp_path))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.load({"MLPLATFORM_HOME": str(tmp_path / "home")})


def judge(declared: Declared, settings: Settings, day: str, winner: str) -> None:
    """Store a verdict over two models; an empty winner refuses both."""
    rows = [
        {
            "partition_key": day,
            "model": name,
            "digest": f"{name}-{day}",
            "winner": name == winner,
            "reason": f"{name} {'chosen' if name == winner else 'refused'} {day}",
        }
        for name in ("tree", "line")
    ]
    with closing(Lake.from_settings(settings)) as lake:
        lake.write(declared.table("champion"), pl.DataFrame(rows), [day])


def release(declared: Declared, settings: Settings, day: str, model: str) -> None:
    with closing(ChampionStore(settings.state_url)) as store:
        store.promote(
            Promotion(
                use_case=declared.name,
                digest=f"{model}-{day}",
                model=model,
                feature_set_id="set",
                figures={},
                as_of=day,
                released_at=datetime(2025, 5, 1, tzinfo=UTC),
                released_by="test",
                why="it won",
            )
        )


def test_nothing_yet(declared: Declared, settings: Settings) -> None:
    assert verdicts.history(declared, settings) == []
    assert not settings.home.exists()


def test_each_date_has_its_verdict_and_the_champion_as_of_it(declared: Declared, settings: Settings) -> None:
    for day, winner in zip(DATES, ("tree", "", "line"), strict=True):
        judge(declared, settings, day, winner)
        if winner:
            release(declared, settings, day, winner)
    first, refused, last = verdicts.history(declared, settings)
    assert [each["as_of"] for each in (first, refused, last)] == list(DATES)
    assert (first["winner"], first["verdict"], first["versions"]) == ("tree", "tree chosen 2025-03-10", [1])
    assert (refused["winner"], refused["digest"], refused["versions"]) == (None, None, [])
    assert refused["verdict"] == "no winner: every candidate was refused."
    assert refused["reasons"] == {"tree": "tree refused 2025-03-20", "line": "line refused 2025-03-20"}
    assert (first["champion"]["version"], refused["champion"]["version"]) == (1, 1)
    assert (last["champion"]["version"], last["champion"]["digest"]) == (2, "line-2025-04-08")


def test_a_model_brought_back_is_the_champion_of_its_date_and_later_ones(
    declared: Declared, settings: Settings
) -> None:
    for day, model in ((DATES[0], "tree"), (DATES[2], "line"), (DATES[0], "tree")):
        release(declared, settings, day, model)
    first, last = verdicts.history(declared, settings)
    assert first["versions"] == [1, 3]
    assert (first["champion"]["version"], last["champion"]["version"]) == (3, 3)
    assert first["verdict"] == last["verdict"] == verdicts.NONE_STORED


def test_a_date_before_every_release_has_no_champion(declared: Declared, settings: Settings) -> None:
    judge(declared, settings, DATES[0], "")
    release(declared, settings, DATES[2], "line")
    assert verdicts.history(declared, settings)[0]["champion"] is None


def test_what_a_rollback_took_back_was_champion_of_no_date(declared: Declared, settings: Settings) -> None:
    for day, model in ((DATES[0], "tree"), (DATES[2], "line")):
        release(declared, settings, day, model)
    with closing(ChampionStore(settings.state_url)) as store:
        at = datetime(2025, 5, 2, tzinfo=UTC)
        store.change(declared.name, "rollback", 1, who="test", why="worse", at=at)
    first, last = verdicts.history(declared, settings)
    assert (first["champion"]["version"], last["champion"]["version"]) == (1, 1)
    assert last["versions"] == [2]
