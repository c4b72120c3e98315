"""`mlplatform audit` over a real run: what was changed is told, and a changed byte is found."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mlplatform_tests.conftest import Finished
from mlplatform_tests.small import world
from mlplatform_tests.small.zygote import Zygote


@pytest.fixture
def home(finished: Finished, tmp_path: Path) -> Path:
    return shutil.copytree(finished.home, tmp_path / "home")


def audit(mlplatform: Zygote, finished: Finished, home: Path, *words: str) -> tuple[int, Any]:
    ended = mlplatform.run("audit", *words, "--json", home=home, cwd=finished.project)
    return ended.returncode, json.loads(ended.stdout)


def test_a_run_left_its_configuration_its_data_and_its_champion(
    finished: Finished, home: Path, mlplatform: Zygote
) -> None:
    code, listed = audit(mlplatform, finished, home, "list", "--limit", "1000")
    assert code == 0
    kinds = [entry["kind"] for entry in listed["entries"]]
    assert (kinds[0], kinds[-2:]) == ("configuration", ["champion", "champion"])
    data = [entry for entry in listed["entries"] if entry["kind"] == "data"]
    assert len(data) == world.DAYS + 1, "each day of orders, and the warehouses"
    assert {entry["details"]["action"] for entry in data} == {"committed"}
    assert [entry["number"] for entry in listed["entries"]] == list(range(1, len(kinds) + 1))
    code, one = audit(mlplatform, finished, home, "list", "--kind", "champion", "--subject", world.NAME)
    assert [entry["details"]["action"] for entry in one["entries"]] == ["release", "promote"]
    assert all(entry["who"] and entry["why"] for entry in one["entries"])


def test_a_changed_byte_and_a_cut_off_end(finished: Finished, home: Path, mlplatform: Zygote) -> None:
    code, sound = audit(mlplatform, finished, home, "verify")
    assert (code, sound["sound"], sound["faults"]) == (0, True, [])
    head, count = sound["head"], sound["entries"]
    assert audit(mlplatform, finished, home, "verify", "--head", head)[1]["anchor"] == count
    with closing(sqlite3.connect(home / "state.sqlite")) as state:
        state.executescript("DROP TRIGGER audit_log_no_UPDATE; DROP TRIGGER audit_log_no_DELETE;")
        state.execute("DELETE FROM audit_log WHERE number = ?", (count,))
        state.commit()
    assert audit(mlplatform, finished, home, "verify")[0] == 0
    code, cut = audit(mlplatform, finished, home, "verify", "--head", head)
    assert (code, cut["faults"][0]["number"]) == (1, count)
    with closing(sqlite3.connect(home / "state.sqlite")) as state:
        state.execute("UPDATE audit_log SET why = replace(why, 'loaded', 'Loaded') WHERE number = 1")
        state.commit()
    code, changed = audit(mlplatform, finished, home, "verify")
    assert (code, [fault["number"] for fault in changed["faults"]]) == (1, [1])


def test_for_people(finished: Finished, home: Path, mlplatform: Zygote) -> None:
    told = mlplatform.run("audit", "list", "--limit", "3", home=home, cwd=finished.project)
    assert "promote, version 1" in told.stdout
    verified = mlplatform.run("audit", "verify", home=home, cwd=finished.project)
    assert "none changed" in verified.stdout
    assert "--head HASH" in verified.stderr
    wrong = mlplatform.run("audit", "verify", "--head", "x", home=home, cwd=finished.project)
    assert wrong.returncode == 1
    assert "64 hexadecimal digits" in wrong.stderr


def test_an_audit_of_nothing(tmp_path: Path, mlplatform: Zygote) -> None:
    told = mlplatform.run("audit", "list", home=tmp_path / "home", cwd=tmp_path)
    assert (told.returncode, told.stdout) == (0, "")
    assert "nothing is recorded yet" in told.stderr


def test_keys_say_by_whom_and_why(tmp_path: Path, mlplatform: Zygote) -> None:
    home = tmp_path / "home"
    for words in (
        ("add", "shop", "--scope", "score", "--why", "the shop asks for scores"),
        ("revoke", "shop", "--why", "it leaked"),
    ):
        assert mlplatform.run("keys", *words, home=home, cwd=tmp_path).returncode == 0
    ended = mlplatform.run("audit", "list", "--json", home=home, cwd=tmp_path)
    entries = json.loads(ended.stdout)["entries"]
    assert [(entry["subject"], entry["why"]) for entry in entries] == [
        ("shop", "the shop asks for scores"),
        ("shop", "it leaked"),
    ]
    assert all(entry["who"] for entry in entries)
