"""`mlplatform mltestscore`, and the commands that keep results for it: verify, retrain."""

import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mlplatform.crosscutting.settings import Settings
from mlplatform.stores.lake import Lake, Table
from mlplatform_tests.conftest import Finished
from mlplatform_tests.small import world
from mlplatform_tests.small.zygote import Ended, Zygote

DAYS = ("--from", "2025-04-20", "--to", "2025-04-22")


@pytest.fixture(scope="module")
def done(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    project = tmp_path_factory.mktemp("mltestscore") / "project"
    shutil.copytree(finished.project, project)
    return Finished(project, project / world.NAME, project / "home", finished.first_run)


def run(mlplatform: Zygote, done: Finished, *words: str) -> Ended:
    return mlplatform.run(*words, home=done.home, cwd=done.project)


def scored(mlplatform: Zygote, done: Finished, *words: str) -> dict[str, dict[str, Any]]:
    """Every test by its id."""
    said = run(mlplatform, done, "mltestscore", world.NAME, "--json", *words)
    assert said.returncode == 0, said.stderr
    sections = world.one_object(said.stdout)["sections"]
    return {test["id"]: test for section in sections for test in section["tests"]}


def test_json_is_complete(done: Finished, mlplatform: Zygote) -> None:
    told = world.one_object(run(mlplatform, done, "mltestscore", world.NAME, "--json").stdout)
    assert told["use_case"] == world.NAME
    assert told["results_count_for_days"] == 90
    assert [section["section"] for section in told["sections"]] == ["data", "model", "infra", "monitor"]
    for section in told["sections"]:
        assert section["points"] == sum(test["points"] for test in section["tests"])
        assert len(section["tests"]) == section["of"] == 7
    assert told["score"] == min(section["points"] for section in told["sections"]) > 0
    assert told["meaning"].startswith("Not totally untested")
    first = told["sections"][0]["tests"][0]
    assert first["holds"] is True
    assert {"id", "title", "asks", "points", "outcome", "check", "said", "at", "remedy"} < first.keys()


def test_people_read_each_test_its_figure_and_what_to_do(done: Finished, mlplatform: Zygote) -> None:
    shown = run(mlplatform, done, "mltestscore", world.NAME)
    assert shown.returncode == 0
    assert "ML Test Score of late_orders: 1 of 7 (the smallest of data 3" in shown.stdout
    text = " ".join(shown.stdout.replace("│", " ").replace("┃", " ").split())
    for words in (
        "Tests for ML infrastructure: 3 of 7",
        "Training is reproducible",
        "raw_orders, raw_warehouses: contract",
        "does not hold",
        "no result yet",
        "mlplatform verify training late_orders",
    ):
        assert words in text


def test_commands_keep_what_they_found(done: Finished, mlplatform: Zygote) -> None:
    assert {scored(mlplatform, done)[test]["points"] for test in ("data_7", "model_4", "infra_1")} == {0.0}
    assert run(mlplatform, done, "verify", "parity", world.NAME, *DAYS).returncode == 0
    trained = run(mlplatform, done, "verify", "training", world.NAME, "--json")
    assert trained.returncode == 0, trained.stderr
    assert world.one_object(trained.stdout)["same"] is True
    dates = ("--from", "2025-04-08", "--to", "2025-04-08")
    again = run(mlplatform, done, "retrain", world.NAME, *dates)
    assert again.returncode == 0, again.stderr
    found = scored(mlplatform, done)
    for test, said in (
        ("data_7", "11 features of 180 questions computed twice"),
        ("model_4", "trained again every 1mo logistic_regression gains +0.0000"),
        ("infra_1", "version 1 (logistic_regression) trained again on 2,280 rows: the same to the byte"),
        ("monitor_3", "1,980 cells and 180 scores replayed: 0 different"),
    ):
        assert found[test]["outcome"] == "documented", test  # tried on one day only
        assert found[test]["said"].startswith(said)


@pytest.mark.slow
def test_a_training_that_gives_another_model_is_told(
    finished: Finished, mlplatform: Zygote, tmp_path: Path
) -> None:
    """For real: a feature of the training rows is another one now."""
    shutil.copytree(finished.project, tmp_path / "project")
    other = Finished(
        tmp_path / "project",
        tmp_path / "project" / world.NAME,
        tmp_path / "project" / "home",
        finished.first_run,
    )
    day, table = "2025-03-20", Table(world.NAME, "features")
    with closing(Lake.from_settings(Settings.load({"MLPLATFORM_HOME": str(other.home)}))) as lake:
        rows = lake.read(table, partitions=[day])
        lake.write(table, rows.with_columns(weekday=pl.lit(3, rows.schema["weekday"])), [day])
    ended = run(mlplatform, other, "verify", "training", world.NAME)
    assert ended.returncode == 1
    assert "differ" in ended.stdout
    assert "the libraries are the same" in " ".join(ended.stdout.split())
    assert scored(mlplatform, other)["infra_1"]["outcome"] == "broken"


def test_a_test_done_by_hand(done: Finished, mlplatform: Zygote) -> None:
    found = scored(mlplatform, done, "--by-hand", "model_7", "--note", "  looked at small customers ")
    assert found["model_7"]["points"] == 0.5
    assert found["model_7"]["said"].startswith("by hand: looked at small customers (")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--by-hand", "data_9", "--note", "x"), "got --by-hand 'data_9'; allowed: data_1"),
        (("--by-hand", "data_5"), "got one of --by-hand and --note; allowed: both, or neither"),
        (("--note", "x"), "got one of --by-hand and --note"),
    ],
)
def test_mistakes(done: Finished, mlplatform: Zygote, words: tuple[str, ...], said: str) -> None:
    ended = run(mlplatform, done, "mltestscore", world.NAME, *words)
    assert ended.returncode == 2
    assert said in " ".join(ended.stderr.replace("│", " ").split())


def test_before_the_first_run_there_is_no_champion_to_train_again(
    late_orders: Path, tmp_path: Path, mlplatform: Zygote
) -> None:
    ended = mlplatform.run("verify", "training", world.NAME, home=tmp_path / "home", cwd=late_orders.parent)
    assert ended.returncode == 1
    assert "has no champion yet" in ended.stderr
