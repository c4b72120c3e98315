"""What is told of a demonstration: who was taken back, how soon on both clocks, and every alert's cause."""

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlplatform.crosscutting.alerting.alert import Alert
from mlplatform.crosscutting.settings import Settings
from mlplatform.demonstration import found
from mlplatform.demonstration.clock import ReplayClock
from mlplatform.demonstration.home import lay_out
from mlplatform.demonstration.plan import EARLIEST, LATEST, USE_CASE, plan
from mlplatform.demonstration.replay import Played, sentence
from mlplatform.demonstration.services import Counts
from mlplatform.offline import project
from mlplatform.offline.declared import Declared
from mlplatform.stages.deployment.release import Promotion
from mlplatform.stores.alerts import AlertStore
from mlplatform.stores.champions import ChampionStore

WALL, REPLAYED = datetime(2026, 11, 30, 12, tzinfo=UTC), datetime(2013, 10, 1, tzinfo=UTC)


@pytest.fixture
def declared(tmp_path: Path) -> Declared:
    return project.load(lay_out(tmp_path, plan(EARLIEST, LATEST, quick=True), known=False) / USE_CASE)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.load({"MLPLATFORM_HOME": str(tmp_path)})


@pytest.fixture
def played() -> Played:
    """A minute on the wall is a day."""
    clock = ReplayClock()
    clock.note(WALL, REPLAYED)
    clock.note(WALL + timedelta(minutes=60), REPLAYED + timedelta(days=60))
    return Played(Counts(), clock)


def promotion(model: str, minutes: int, who: str = "ann") -> Promotion:
    return Promotion(
        use_case=USE_CASE,
        digest=f"{model}{minutes}",
        model=model,
        feature_set_id="f1",
        figures={"threshold": 0.5},
        as_of="2013-09-21",
        released_at=WALL + timedelta(minutes=minutes),
        released_by=who,
        why="it is quick",
    )


def test_a_rollback_is_told_with_its_promotion_and_both_clocks(
    declared: Declared, settings: Settings, played: Played
) -> None:
    with closing(ChampionStore(settings.state_url)) as store:
        store.promote(promotion("lightgbm", -5))
        store.promote(promotion("hasty", 2))
        who, seventh = "monitoring (run 1)", WALL + timedelta(minutes=7)
        store.change(USE_CASE, "rollback", 1, at=seventh, who=who, why="it is worse.")
        store.promote(promotion("lightgbm", 9))
        store.change(USE_CASE, "rollback", 1, at=WALL + timedelta(minutes=10), who="ann", why="by hand")
        changes = store.changes(USE_CASE)
    (told,) = found.rollbacks(declared, settings, played)
    assert (told["version"], told["model"], told["back_to"]) == (2, "hasty", 1)
    assert (told["seconds_to_notice"], told["hours_to_notice"]) == (300.0, 120.0)
    assert (told["cause"], told["promoted_because"]) == ("it is worse.", "it is quick")
    assert told["replayed_at"] == "2013-10-08T00:00:00Z"
    models = {1: "lightgbm", 2: "hasty"}
    assert sentence(changes[2], models) == "version 1 (lightgbm) answers again, by itself: it is worse."
    assert sentence(changes[1], models) == "version 2 (hasty) is the champion: it is quick"


def test_alerts_are_told_once_also_when_they_are_over(settings: Settings) -> None:
    said = Alert(
        use_case=USE_CASE,
        kind="champion-rolled-back",
        subject="version 2",
        severity="critical",
        cause="version 2 was worse.",
        remedy="Nothing.",
        at=WALL,
    )
    with closing(AlertStore(settings.state_url)) as store:
        store.raise_(said)
        store.raise_(said)
        store.clear(USE_CASE, said.kind, said.subject, "seen")
    (told,) = found.alerts(settings)
    assert (told["cause"], told["remedy"], told["severity"]) == (said.cause, said.remedy, "critical")
