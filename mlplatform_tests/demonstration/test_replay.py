"""When the replay stands still: as soon as ingestion or monitoring is too far behind."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlplatform.crosscutting.settings import Settings
from mlplatform.demonstration.delivered import Deliveries
from mlplatform.demonstration.home import lay_out
from mlplatform.demonstration.plan import EARLIEST, LATEST, USE_CASE, plan
from mlplatform.demonstration.replay import behind
from mlplatform.demonstration.watched import Seen
from mlplatform.offline import project

PLAN = plan(EARLIEST, LATEST, quick=True)


@pytest.mark.parametrize(
    ("announced", "ingested", "joined", "days"),
    [
        ("", "2013-09-30", "", 5),  # monitoring has not looked at all yet
        ("2013-10-04", "2013-10-04", "2013-10-05", 0),
        ("2013-10-04", "2013-10-01", "2013-10-05", 3),
        ("2013-10-04", "2013-10-04", "2013-10-03", 2),
    ],
)
def test_the_loop_is_as_far_behind_as_the_slower_of_both(
    announced: str, ingested: str, joined: str, days: int, tmp_path: Path
) -> None:
    declared = project.load(lay_out(tmp_path, PLAN, known=False) / USE_CASE)
    deliveries = Deliveries(declared, Settings.load({"MLPLATFORM_HOME": str(tmp_path)}), [])
    deliveries.announced = announced
    seen = Seen(ingested, joined, (), ())
    assert behind(PLAN, datetime(2013, 10, 5, 12, tzinfo=UTC), deliveries, seen) == days
