"""Declarations in the audit: recorded when they are another one than before, with what changed."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mlplatform.crosscutting.settings import Settings
from mlplatform.offline import project
from mlplatform.offline.configuration_audit import record
from mlplatform.stages.monitoring.audit import Entry
from mlplatform.stores.audit import AuditLog
from mlplatform_tests.small import world


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.load({"MLPLATFORM_HOME": str(tmp_path / "home")})


def loaded(folder: Path, settings: Settings) -> Entry | None:
    return record(project.load(folder), settings, why="loaded by a test")


def details(entry: Entry | None) -> dict[str, Any]:
    assert entry is not None
    found: dict[str, Any] = entry.told()["details"]
    return found


def test_it_is_recorded_once_until_it_changes(late_orders: Path, settings: Settings) -> None:
    first = loaded(late_orders, settings)
    said = details(first)
    assert first is not None
    assert (first.kind, first.subject, first.why) == ("configuration", world.NAME, "loaded by a test")
    assert (said["before"], said["changed"]) == (None, [])
    assert set(said["after"]["files"]) == {"defs.yaml", "features.py"}
    assert said["after"]["attributes"]["split"]["strategy"] == "by_time"
    assert loaded(late_orders, settings) is None

    world.edit(late_orders / "defs.yaml", "max_depth: 4", "max_depth: 5")
    second = details(loaded(late_orders, settings))
    changed = {each["key"]: (each["before"], each["after"]) for each in second["changed"]}
    assert changed["models.decision_tree.params.max_depth"] == (4, 5)
    assert set(changed) == {"models.decision_tree.params.max_depth", "file defs.yaml"}
    assert second["before"]["hash"] == said["after"]["hash"] != second["after"]["hash"]

    world.edit(late_orders / "features.py", "DAYS_OF_GRACE = 0", "DAYS_OF_GRACE = 1")
    third = details(loaded(late_orders, settings))
    assert [each["key"] for each in third["changed"]] == ["file features.py"]

    world.edit(late_orders / "features.py", "DAYS_OF_GRACE = 1", "DAYS_OF_GRACE = 0")
    world.edit(late_orders / "defs.yaml", "max_depth: 5", "max_depth: 4")
    assert details(loaded(late_orders, settings))["after"]["hash"] == said["after"]["hash"], "and back"
    with closing(AuditLog.from_settings(settings)) as log:
        assert len(log.entries()) == 4
        assert log.verify().sound


def test_files_beside_them_count_and_what_python_leaves_behind_does_not(
    late_orders: Path, settings: Settings
) -> None:
    loaded(late_orders, settings)
    (late_orders / "__pycache__").mkdir(exist_ok=True)
    (late_orders / "__pycache__" / "x.py").write_text("")
    (late_orders / "data" / "more.csv").write_text("a\n")
    assert loaded(late_orders, settings) is None
    (late_orders / "helpers.py").write_text("X = 1\n")
    assert details(loaded(late_orders, settings))["changed"][0]["key"] == "file helpers.py"
