"""Real days as steps: everything once, and nothing asked before what was known then."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import msgspec
import polars as pl
import pytest

from mlplatform.crosscutting.settings import Settings
from mlplatform.demonstration import past
from mlplatform.demonstration.home import lay_out
from mlplatform.demonstration.past import Asked, Event, events_of, flights_of, questions_of, steps
from mlplatform.demonstration.plan import EARLIEST, LATEST, USE_CASE, plan
from mlplatform.offline import project
from mlplatform.offline.declared import Declared
from mlplatform.sources.nycflights13 import read
from mlplatform.stages.ingestion.batch import take, text_of
from mlplatform.stores.lake import Lake

PLAN = plan(EARLIEST, LATEST, quick=False)
HALF = timedelta(minutes=30)


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> Declared:
    return project.load(lay_out(tmp_path_factory.mktemp("demo"), PLAN, known=False) / USE_CASE)


@pytest.fixture(scope="module")
def settings(declared: Declared) -> Settings:
    """A home whose lake knows the airports."""
    settings = Settings.load({"MLPLATFORM_HOME": str(declared.folder.parent.parent)})
    rules = declared.rules("airports")
    rows = take(text_of(read("airports"), "csv", rules), rules).good.with_columns(batch_id=pl.lit(""))
    lake = Lake.from_settings(settings)
    lake.write(declared.table("airports"), declared.clean("airports")(rows))
    lake.close()
    return settings


def test_a_day_is_asked_about_flight_by_flight_an_hour_before(declared: Declared, settings: Settings) -> None:
    flights = flights_of(declared, settings, ["2013-10-01"])
    questions = questions_of(declared, flights)
    assert flights.height == len(questions) == 965
    first = msgspec.json.decode(questions[0].body)
    assert questions[0].time == datetime(2013, 10, 1, 8, tzinfo=UTC)
    assert first["sched_dep"] == "2013-10-01T09:00:00Z"
    assert set(first) <= set(declared.feature_set.spine.facts)
    assert not any(value is None for value in first.values())


def test_steps_have_everything_once_and_in_time(declared: Declared, settings: Settings) -> None:
    flights = flights_of(declared, settings, ["2013-10-01", "2013-10-02"])
    events, questions = list(events_of(declared, flights)), questions_of(declared, flights)
    found = list(steps(iter(events), questions, PLAN.begin, HALF))
    assert [event for step in found for event in step.events] == events
    assert [asked for step in found for asked in step.questions] == questions
    for before, step in pairwise(found):
        assert step.until - before.until == HALF
        times = [*(event.time for event in step.events), *(asked.time for asked in step.questions)]
        assert all(before.until < time <= step.until for time in times)


def test_a_question_at_the_moment_of_an_event_comes_after_it() -> None:
    event, asked = Event(PLAN.begin + HALF, "arrival", b"{}"), Asked(PLAN.begin + HALF, b"{}")
    assert list(steps(iter([event]), [asked], PLAN.begin, HALF)) == [
        past.Step(PLAN.begin + HALF, [event], [asked])
    ]
