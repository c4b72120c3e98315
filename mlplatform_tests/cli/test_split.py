"""`mlplatform split`: the stored split again, other strategies, and what is refused."""

from contextlib import closing
from typing import Any

import pytest

from mlplatform.crosscutting.settings import Settings
from mlplatform.stores.lake import Lake, Table
from mlplatform_tests.conftest import Finished
from mlplatform_tests.small import world
from mlplatform_tests.small.zygote import Ended, Zygote

KEYS = ["use_case", "strategy", "options", "id", "sizes", "parts", "unlabelled", "warnings"]


def run(mlplatform: Zygote, finished: Finished, *words: str) -> Ended:
    return mlplatform.run("split", world.NAME, *words, home=finished.home, cwd=finished.project)


def told(mlplatform: Zygote, finished: Finished, *words: str) -> dict[str, Any]:
    said = run(mlplatform, finished, *words, "--json")
    assert (said.returncode, said.stderr) == (0, "")
    answer = world.one_object(said.stdout)
    assert list(answer) == KEYS
    return answer


def test_the_declared_split_is_the_stored_one(finished: Finished, mlplatform: Zygote) -> None:
    answer = told(mlplatform, finished)
    with closing(Lake.from_settings(Settings.load({"MLPLATFORM_HOME": str(finished.home)}))) as lake:
        stored = lake.read(Table(world.NAME, "split"))
    assert set(stored["split_id"]) == {answer["id"]}
    assert answer["sizes"] == dict(stored["part"].value_counts().iter_rows())
    assert (answer["use_case"], answer["strategy"]) == (world.NAME, "by_time")
    assert answer["options"] == {
        "time": "partition_key",
        "as_of": "2025-04-08",
        "validation": "10d",
        "test": "2w",
    }
    assert answer["unlabelled"] == world.DAYS * world.ORDERS_A_DAY - stored.height
    validation = stored.filter(part="validation")
    assert answer["parts"]["validation"] == {
        "first_day": "2025-04-08",
        "last_day": "2025-04-17",
        "label_rate": pytest.approx(validation["label"].mean()),
    }


def test_another_day_is_another_split(finished: Finished, mlplatform: Zygote) -> None:
    answer = told(mlplatform, finished, "--as-of", "2025-03-20")
    assert answer["parts"]["train"]["last_day"] == "2025-03-19"
    assert answer["options"]["as_of"] == "2025-03-20"


def test_another_strategy_has_options_of_its_own(finished: Finished, mlplatform: Zygote) -> None:
    options = ("--option", "validation=0.25", "--option", "seed=3", "--option", "test=0.25")
    answer = told(mlplatform, finished, "--strategy", "random", *options)
    assert answer["options"] == {"time": "partition_key", "validation": 0.25, "seed": 3, "test": 0.25}
    rows = sum(answer["sizes"].values())
    assert answer["sizes"]["train"] == pytest.approx(rows / 2, rel=0.05)
    assert sum("training rows, up to" in warning for warning in answer["warnings"]) == 2


def test_a_strategy_may_read_any_column_of_the_table(finished: Finished, mlplatform: Zygote) -> None:
    answer = told(mlplatform, finished, "--strategy", "by_group", "--option", "group=customer")
    assert all(answer["sizes"][part] > 100 for part in ("train", "validation", "test"))
    assert not [warning for warning in answer["warnings"] if "more than one part" in warning]


def test_for_people(finished: Finished, mlplatform: Zygote) -> None:
    said = run(mlplatform, finished, "--strategy", "k_fold", "--option", "fold=1")
    assert said.returncode == 0, said.stderr
    for word in ("late_orders by k_fold: time partition_key, fold 1", "validation", "2025-03-01", "split "):
        assert word in said.stdout
    assert "warning: test is empty." in said.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--as-of", "2025-03-01"],
            "got --as-of '2025-03-01'; allowed: a day after 2025-03-01 up to 2025-04-29",
        ),
        (["--as-of", "April"], "got --as-of 'April'"),
        (["--option", "test"], "got --option 'test'; allowed: name=value."),
        (["--option", "test=[1"], "got --option 'test=[1'; allowed: a value as in defs.yaml."),
    ],
)
def test_wrong_use(words: list[str], said: str, finished: Finished, mlplatform: Zygote) -> None:
    ended = run(mlplatform, finished, *words)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert said in " ".join(ended.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--strategy", "by_tme"], "got split 'by_tme'; allowed: by_group, by_time"),
        (["--option", "colour=red"], "split 'by_time': got options"),
        (["--option", "test=1 fortnight"], "got test '1 fortnight'"),
        (["--strategy", "by_group", "--option", "group=tail"], "got group column 'tail'; the frame has: "),
    ],
)
def test_a_mistake_is_one_error(words: list[str], said: str, finished: Finished, mlplatform: Zygote) -> None:
    ended = run(mlplatform, finished, *words, "--json")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert said in ended.stderr
    assert ended.stderr.count("hint:  ") == 1
    assert "Traceback" not in ended.stderr


def test_before_there_are_rows(finished: Finished, mlplatform: Zygote) -> None:
    home = finished.project / "no-home"
    ended = mlplatform.run("split", world.NAME, home=home, cwd=finished.project)
    assert ended.returncode == 1
    assert "there is no table late_orders.orders yet" in ended.stderr
    assert "mlplatform run late_orders" in ended.stderr
