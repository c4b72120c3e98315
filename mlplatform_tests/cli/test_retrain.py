"""`mlplatform retrain`: candidates become partitions, are judged by later rows, and the champion stays."""

import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mlplatform.crosscutting.settings import Settings
from mlplatform.stores.lake import Lake, Table
from mlplatform_tests.conftest import Finished
from mlplatform_tests.small import world
from mlplatform_tests.small.zygote import Ended, Zygote

DATES = ("--from", "2025-03-25", "--to", "2025-04-15", "--every", "1w", "--model", "decision_tree")
CANDIDATES = Table(world.NAME, "candidate_decision_tree")


@pytest.fixture
def done(finished: Finished, tmp_path: Path) -> Finished:
    shutil.copytree(finished.project, tmp_path / "project")
    project = tmp_path / "project"
    return Finished(project, project / world.NAME, project / "home", finished.first_run)


def run(mlplatform: Zygote, done: Finished, *words: str) -> Ended:
    return mlplatform.run("retrain", world.NAME, *words, home=done.home, cwd=done.project)


def told(mlplatform: Zygote, done: Finished, *words: str) -> dict[str, Any]:
    said = run(mlplatform, done, *words, "--json")
    assert said.returncode == 0, said.stderr
    return world.one_object(said.stdout)


def champion(mlplatform: Zygote, done: Finished) -> dict[str, Any]:
    said = mlplatform.run("champion", world.NAME, "--history", "--json", home=done.home, cwd=done.project)
    return world.one_object(said.stdout)


def stored(done: Finished) -> dict[str, str]:
    with closing(Lake.from_settings(Settings.load({"MLPLATFORM_HOME": str(done.home)}))) as lake:
        return dict(lake.read(CANDIDATES).select("partition_key", "digest").iter_rows())


@pytest.mark.slow
def test_dates_become_candidates_once_and_the_champion_stays(done: Finished, mlplatform: Zygote) -> None:
    before, first = champion(mlplatform, done), stored(done)
    picture = done.project / "drawn.png"
    said = told(mlplatform, done, *DATES, "--picture", str(picture))
    assert said["static_as_of"] == "2025-03-25"
    # 8 April is the declared date: its candidate was there.
    assert said["candidates_trained"] == 3
    after = stored(done)
    assert list(after) == ["2025-03-25", "2025-04-01", "2025-04-08", "2025-04-15"]
    assert after["2025-04-08"] == first["2025-04-08"]
    assert len(set(after.values())) == 4
    assert champion(mlplatform, done) == before
    assert picture.read_bytes().startswith(b"\x89PNG")

    *each, whole = said["periods"]
    assert [one["period"] for one in each] == list(after)
    assert whole["period"] == "all"
    assert whole["rows"] == sum(one["rows"] for one in each)
    start = each[0]
    assert start["static"] == start["retrained"]
    assert start["gains"]["log_loss"]["value"] == 0
    for one in each[1:]:
        gain = one["gains"]["log_loss"]
        assert gain["value"] == one["static"]["log_loss"] - one["retrained"]["log_loss"]
        assert gain["low"] <= gain["high"]

    again = told(mlplatform, done, *DATES)
    assert again["candidates_trained"] == 0
    assert again["periods"] == said["periods"]
    shown = run(mlplatform, done, *DATES)
    assert "trained again every 1w, and once as of 2025-03-25" in " ".join(shown.stdout.split())


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--from", "April", "--to", "2025-04-15"), 2, "got 'April'; allowed: a day written YYYY-MM-DD"),
        (("--from", "2025-03-01", "--to", "2025-04-15"), 1, "after 2025-03-01 and up to 2025-04-29"),
        (("--from", "2025-04-01", "--to", "2025-04-15", "--model", "forest"), 1, "got model 'forest'"),
        (("--from", "2025-04-01", "--to", "2025-04-15", "--every", "often"), 1, "got a length 'often'"),
    ],
)
def test_mistakes(
    finished: Finished, mlplatform: Zygote, words: tuple[str, ...], code: int, said: str
) -> None:
    ended = run(mlplatform, finished, *words)
    assert ended.returncode == code
    assert said in " ".join(ended.stderr.replace("│", " ").split())


def test_before_the_first_run_a_model_has_to_be_named(
    late_orders: Path, tmp_path: Path, mlplatform: Zygote
) -> None:
    words = ("retrain", world.NAME, "--from", "2025-04-01", "--to", "2025-04-15")
    ended = mlplatform.run(*words, home=tmp_path / "home", cwd=late_orders.parent)
    assert ended.returncode == 2
    assert "there is no champion whose model to take" in " ".join(ended.stderr.replace("│", " ").split())
