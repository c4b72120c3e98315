"""`mlplatform search`: a search on stored rows that stores nothing, and what is refused."""

import shutil
from pathlib import Path

import pytest

from mlplatform_tests.conftest import Finished
from mlplatform_tests.small import world
from mlplatform_tests.small.zygote import Ended, Zygote

TREE = "      params: { max_depth: 4, min_samples_leaf: 40 }\n"
SEARCH = (
    "      search: { trials: 4, folds: 2, rows: 0.5, space: { max_depth: { low: 1, high: 6 }, "
    "min_samples_leaf: { low: 5, high: 400, log: true } } }\n"
)


@pytest.fixture(scope="module")
def searching(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose tree declares a search; its rows are those of the finished run."""
    project = tmp_path_factory.mktemp("searching")
    shutil.copytree(finished.folder, project / world.NAME)
    world.edit(project / world.NAME / "defs.yaml", TREE, TREE + SEARCH)
    return project


def run(mlplatform: Zygote, project: Path, home: Path, *words: str) -> Ended:
    return mlplatform.run("search", world.NAME, *words, home=home, cwd=project)


def test_as_json(searching: Path, finished: Finished, mlplatform: Zygote) -> None:
    before = world.tables(finished.home)
    said = run(mlplatform, searching, finished.home, "decision_tree", "--json")
    assert (said.returncode, said.stderr) == (0, "")
    answer = world.one_object(said.stdout)
    assert (answer["model"], answer["as_of"], answer["metric"]) == ("decision_tree", "2025-04-08", "log_loss")
    assert [trial["number"] for trial in answer["trials"]] == [0, 1, 2, 3, 4]
    best = answer["trials"][answer["best_trial"]]
    assert answer["value"] == best["value"] <= answer["declared_value"] == answer["trials"][0]["value"]
    assert answer["gain"] == pytest.approx(answer["declared_value"] - answer["value"])
    assert answer["parameters"] == {"max_depth": 4, "min_samples_leaf": 40} | best["params"]
    world.assert_same_tables(world.tables(finished.home), before)
    again = world.one_object(run(mlplatform, searching, finished.home, "decision_tree", "--json").stdout)
    for trial in (*answer["trials"], *again["trials"]):
        del trial["seconds"]
    assert again == answer


def test_for_people(searching: Path, finished: Finished, mlplatform: Zygote) -> None:
    said = run(mlplatform, searching, finished.home, "decision_tree", "--trials", "2")
    assert said.returncode == 0, said.stderr
    for word in ("declared", "2 trials: ", "best      log_loss 0.", "max_depth: ", "min_samples_leaf"):
        assert word in said.stdout
    assert "search decision_tree" in said.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["rate_table"], 1, "models.rate_table of 'late_orders' declares no search."),
        (["forest"], 1, "has no model 'forest'; it has: rate_table, logistic_regression"),
        (["decision_tree", "--as-of", "2025-03-20"], 1, "as of 2025-03-20 has no train rows"),
        (["decision_tree", "--as-of", "April"], 2, "got 'April'; allowed: a day written YYYY-MM-DD."),
        (["decision_tree", "--trials", "0"], 2, "greater than or equal to 1"),
    ],
)
def test_a_mistake_is_one_error(
    words: list[str], code: int, said: str, searching: Path, finished: Finished, mlplatform: Zygote
) -> None:
    ended = run(mlplatform, searching, finished.home, *words, "--json")
    assert (ended.returncode, ended.stdout) == (code, "")
    assert said in " ".join(ended.stderr.replace("│", " ").split())
    assert "Traceback" not in ended.stderr


def test_before_there_are_features(searching: Path, mlplatform: Zygote) -> None:
    ended = run(mlplatform, searching, searching / "no-home", "decision_tree")
    assert ended.returncode == 1
    assert "error: There is no lake at " in ended.stderr
    assert "hint:  Run `mlplatform" in ended.stderr
    assert "Traceback" not in ended.stderr
