"""`mlplatform promote`, `rollback`, `canary`, `shadow`, `history`, `package`: what they do and say."""

import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from mlplatform_tests.conftest import Finished
from mlplatform_tests.crosscutting.brokers import free_port
from mlplatform_tests.small import world
from mlplatform_tests.small.zygote import Ended, Zygote

WINNER, OTHER = "logistic_regression", "decision_tree"


class Commands:
    """The command line on a copy of the finished home; neither broker nor service runs."""

    def __init__(self, mlplatform: Zygote, project: Path, home: Path) -> None:
        self._mlplatform, self._project, self._home = mlplatform, project, home
        self._places = {
            "MLPLATFORM_BROKER_URL": f"nats://127.0.0.1:{free_port()}",
            "MLPLATFORM_SCORING_PORT": str(free_port()),
        }

    def plain(self, command: str, *words: str) -> Ended:
        return self._mlplatform.run(
            command, world.NAME, *words, home=self._home, cwd=self._project, **self._places
        )

    def __call__(self, command: str, *words: str) -> dict[str, Any]:
        said = self.plain(command, *words, "--json")
        assert said.returncode == 0, said.stderr
        return world.one_object(said.stdout)


@pytest.fixture
def ask(finished: Finished, mlplatform: Zygote, tmp_path: Path) -> Commands:
    shutil.copytree(finished.home, tmp_path / "home")
    return Commands(mlplatform, finished.project, tmp_path / "home")


def test_from_shadow_to_champion_and_back(ask: Commands) -> None:
    told = ask("shadow", OTHER, "--why", "a look")
    assert told["change"]["action"] == "shadow"
    assert (told["in_use"]["champion"]["version"], told["in_use"]["shadow"]["version"]) == (1, 2)
    assert "@" in told["change"]["who"]
    assert told["published"] is False
    assert told["scoring_service"]["taken_up"] is None

    told = ask("canary", "2", "--share", "0.2")
    assert (told["in_use"]["canary"]["model"], told["in_use"]["share"]) == (OTHER, 0.2)
    assert ask("canary", "2", "--share", "0.2")["changed"] is False
    assert ask("shadow", "--off")["in_use"]["shadow"] is None

    told = ask("promote", "2", "--why", "it did well")
    assert told["in_use"]["champion"]["model"] == OTHER
    assert told["in_use"]["canary"] is None
    assert [release["version"] for release in told["in_use"]["previous"]] == [1]

    told = ask("rollback", "--why", "it did not")
    assert (told["in_use"]["champion"]["model"], told["in_use"]["withdrawn"]) == (WINNER, [2])
    assert ask("champion", "--history")["history"][0]["champion"]["version"] == 1

    told = ask("history")
    actions = [change["action"] for change in told["changes"]]
    assert actions == ["promote", "shadow", "canary", "shadow", "promote", "rollback"]
    assert [change["number"] for change in told["changes"]] == [1, 2, 3, 4, 5, 6]
    assert [release["model"] for release in told["releases"]] == [WINNER, OTHER]
    assert told["changes"][-1]["why"] == "it did not"


def test_for_people(ask: Commands) -> None:
    said = ask.plain("promote", OTHER)
    assert said.returncode == 0
    assert f"version 2 ({OTHER}) is the champion" in said.stdout
    assert "The scoring service is not running" in said.stdout
    assert "deployment-changed follows" in said.stderr
    assert "Nothing changed" in ask.plain("promote", "2").stdout
    assert f"version 2 ({OTHER}) is the champion" in ask.plain("history").stdout


def test_mistakes(ask: Commands) -> None:
    said = ask.plain("rollback")
    assert (said.returncode, "no champion before version 1" in said.stderr) == (1, True)
    assert ask.plain("canary", OTHER, "--off").returncode == 2
    said = ask.plain("promote", "nobody")
    assert (said.returncode, "allowed: a version (1), a model (" in said.stderr) == (1, True)


def test_a_package_is_one_file_with_everything(ask: Commands, tmp_path: Path) -> None:
    file = tmp_path / "package.tar"
    told = ask("package", "--output", str(file))
    assert (told["version"], told["model"], told["fault"]) == (1, WINNER, "")
    assert all(each["passed"] for each in told["tests"])
    with tarfile.open(file) as archive:
        names = {Path(name).name for name in archive.getnames()}
    assert {"MLmodel", "card.md", "release.json", "model.json", "golden.json", "SHA256SUMS"} <= names


def test_before_the_first_run(late_orders: Path, tmp_path: Path, mlplatform: Zygote) -> None:
    for words in (("rollback",), ("package",), ("shadow", "--off")):
        said = mlplatform.run(
            words[0], world.NAME, *words[1:], home=tmp_path / "home", cwd=late_orders.parent
        )
        assert (said.returncode, "mlplatform run late_orders" in said.stderr) == (1, True), said.stderr
    said = mlplatform.run("history", world.NAME, home=tmp_path / "home", cwd=late_orders.parent)
    assert (said.returncode, "nothing was released yet" in said.stderr) == (0, True)
    assert not (tmp_path / "home").exists()
