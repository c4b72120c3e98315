"""The notifier of winners: a verdict with a winner is a message, whatever the broker does meanwhile."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mlplatform.crosscutting.settings import Settings
from mlplatform.offline import project
from mlplatform.offline.run import instance_of
from mlplatform.stores.lake import Lake
from mlplatform_tests.conftest import Finished
from mlplatform_tests.crosscutting.brokers import free_port
from mlplatform_tests.offline.deployed import Platform, running
from mlplatform_tests.small import world

SENSOR, AS_OF = "model_ready_for_deployment", "2025-04-08"


@pytest.fixture
def platform(finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """A copy of the finished home, with its event log; no broker runs yet."""
    home = tmp_path / "home"
    shutil.copytree(finished.home, home)
    monkeypatch.setenv("MLPLATFORM_HOME", str(home))
    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))
    url = f"nats://127.0.0.1:{free_port()}"
    settings = Settings.load({"MLPLATFORM_HOME": str(home), "MLPLATFORM_BROKER_URL": url})
    with instance_of(settings) as instance:
        yield Platform(project.load(finished.folder), settings, instance)


def test_a_winner_is_published_with_its_release_and_figures(
    platform: Platform, finished: Finished, tmp_path: Path
) -> None:
    with running(platform.settings.broker_url, tmp_path / "broker"):
        assert platform.tick(SENSOR).skipped == "1 messages published."
        (message,) = platform.ready()
    first = world.one_object(finished.first_run.stdout)["champion"]
    assert (message.use_case, message.model, message.digest) == (world.NAME, first["model"], first["digest"])
    assert (message.feature_set_id, message.why) == (first["feature_set"], first["why"])
    assert (message.as_of, message.version) == (AS_OF, 1)
    with closing(Lake.from_settings(platform.settings)) as lake:
        verdict = lake.read(platform.declared.table("champion")).filter(winner=True).row(0, named=True)
    assert message.figures == {
        "validation_log_loss": verdict["validation_log_loss"],
        "test_log_loss": verdict["test_log_loss"],
    }


def test_while_the_broker_is_away_nothing_is_lost_and_nothing_counts_twice(
    platform: Platform, tmp_path: Path
) -> None:
    away = platform.tick(SENSOR)
    assert away.skipped.startswith("0 messages published, then: No broker answers")
    with running(platform.settings.broker_url, tmp_path / "broker"):
        assert platform.tick(SENSOR).skipped == "1 messages published."
        assert platform.tick(SENSOR).skipped == "0 messages published."
        before = platform.ready()
        platform.cursors[SENSOR] = ""
        assert platform.tick(SENSOR).skipped == "1 messages published."
        assert platform.ready() == before


def test_a_verdict_without_a_winner_is_no_message_and_the_cursor_goes_on(
    platform: Platform, tmp_path: Path
) -> None:
    with running(platform.settings.broker_url, tmp_path / "broker"):
        platform.tick(SENSOR)
        assert platform.materialise("champion", partition_key=AS_OF).success
        before = platform.cursors[SENSOR]
        assert platform.tick(SENSOR).skipped == "0 messages published."
        assert platform.cursors[SENSOR] != before
        assert len(platform.ready()) == 1
