"""The state of the code a candidate was made with, in repositories of its own; and what models train with."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlplatform import plugins
from mlplatform.offline.kinds import kind_of
from mlplatform.offline.provenance import Code, code_of, environment
from mlplatform.stages.training import models


def git(folder: Path, *arguments: str) -> str:
    own = ["-c", "user.name=n", "-c", "user.email=n@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", *own, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def use_case(tmp_path: Path) -> Path:
    """A folder of a repository with one commit and an ignored folder."""
    folder = tmp_path / "repository" / "orders"
    folder.mkdir(parents=True)
    (folder / "defs.yaml").write_text("one")
    (folder.parent / "other.py").write_text("one")
    (folder.parent / ".gitignore").write_text(".mlplatform/\n.venv/\n")
    git(folder.parent, "init", "-q")
    git(folder.parent, "add", ".")
    git(folder.parent, "commit", "-q", "-m", "one")
    return folder


def test_a_clean_folder_is_its_commit(use_case: Path) -> None:
    commit = git(use_case, "rev-parse", "HEAD")
    (use_case.parent / ".mlplatform").mkdir()
    (use_case.parent / ".mlplatform" / "run.lock").write_text("")
    (use_case.parent / "notes.txt").write_text("not of the use case")
    found = code_of(use_case)
    assert found == Code(commit, dirty=False)
    assert str(found) == commit[:12]


@pytest.mark.parametrize("changed", ["orders/defs.yaml", "other.py", "orders/new.py"])
def test_what_was_changed_since_is_dirty(use_case: Path, changed: str) -> None:
    (use_case.parent / changed).write_text("two")
    found = code_of(use_case)
    assert found.dirty
    assert str(found).endswith("and uncommitted changes")


def test_no_repository_no_commit_and_no_git_are_empty(
    use_case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert code_of(tmp_path) == code_of(tmp_path / "absent") == Code()
    assert str(Code()) == "no repository"
    empty = tmp_path / "empty"
    empty.mkdir()
    git(empty, "init", "-q")
    assert code_of(empty) == Code()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert code_of(use_case) == Code()


def test_a_package_in_an_ignored_folder_has_no_commit(use_case: Path) -> None:
    installed = use_case.parent / ".venv" / "orders"
    installed.mkdir(parents=True)
    (installed / "defs.yaml").write_text("")
    assert code_of(installed) == Code()


def test_a_hook_of_another_repository_does_not_mislead(
    use_case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = git(use_case, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    assert code_of(use_case).commit == commit


def test_a_git_that_hangs_is_left(use_case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = tmp_path / "bin"
    hanging.mkdir()
    (hanging / "git").write_text(f"#!{sys.executable}\nimport time\ntime.sleep(600)\n")
    (hanging / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(hanging))
    monkeypatch.setattr("mlplatform.offline.provenance.SECONDS", 0.2)
    started = time.monotonic()
    assert code_of(use_case) == Code()
    assert time.monotonic() - started < 300


def test_the_environment_names_the_machine() -> None:
    told = environment()
    assert set(told) == {"platform", "machine", "implementation", "cpu_count"}
    assert int(told["cpu_count"]) > 0


def test_every_model_is_shown_with_what_it_trains_with() -> None:
    shown = {name: kind_of(name) for name in plugins.names(models)}
    python = ("arima", "constant", "rate_table", "recommender", "seasonal_naive")
    library = ("decision_tree", "histogram_gradient_boosting", "k_means", "linear_regression", "scikit_learn")
    expected = dict.fromkeys(python, "python") | dict.fromkeys(library, "scikitlearn")
    assert shown.items() >= (expected | {"lightgbm": "lightgbm", "random_forest": "scikitlearn"}).items()
    assert kind_of("mlplatform_tests.small.failing_model") == "python"
    assert kind_of("mlplatform.stages.training.models.lightgbm") == "lightgbm"
    assert kind_of("no.such.module") == "python"


def test_a_kind_is_told_without_importing_the_library() -> None:
    code = (
        "import sys; from mlplatform.offline.kinds import kind_of; "
        "print(kind_of('decision_tree'), 'sklearn' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["scikitlearn", "False"]
