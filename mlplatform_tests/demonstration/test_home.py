"""The home of a demonstration: nobody else's, and a project that the platform accepts."""

from pathlib import Path

import pytest

from mlplatform.crosscutting.settings import Settings
from mlplatform.demonstration.home import clear, environment, lay_out
from mlplatform.demonstration.plan import EARLIEST, LATEST, USE_CASE, plan
from mlplatform.errors import ConfigurationError
from mlplatform.offline import project

PLAN = plan(EARLIEST, LATEST, quick=False)


def test_a_folder_that_is_no_demonstration_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigurationError, match="not empty"):
        clear(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_an_earlier_demonstration_makes_room(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    clear(home)
    (home / "state.sqlite").touch()
    clear(home)
    assert [file.name for file in home.iterdir()] == ["demonstration.txt"]


@pytest.mark.parametrize("known", [True, False])
def test_the_project_has_no_mistake(known: bool, tmp_path: Path) -> None:
    folder = lay_out(tmp_path, PLAN, known=known)
    assert project.problems(folder / USE_CASE) == []
    declared = project.load(project.find(USE_CASE, folder))
    assert declared.folder == folder / USE_CASE
    assert str(declared.config.days.last) == ("2013-09-30" if known else "2013-12-31")
    assert declared.warm_up_days == 2
    assert (folder / "workspace.yaml").exists()


def test_nothing_of_the_users_deployment_is_used(tmp_path: Path) -> None:
    given = {"PATH": "/bin", "MLPLATFORM_STATE_URL": "postgresql://real", "DAGSTER_HOME": "/real"}
    found = environment(tmp_path, given | {"MLPLATFORM_ALERT_WEBHOOK": "https://pager"})
    settings = Settings.load(found)
    assert found["PATH"] == "/bin"
    assert "DAGSTER_HOME" not in found
    assert str(tmp_path) in settings.state_url
    assert settings.alerts == Settings.load({}).alerts
    ports = {settings.scoring_port, settings.ingestion_port, settings.preparation_port, settings.ui_port}
    assert len({*map(str, ports), settings.broker_url.rpartition(":")[2]}) == 5
