"""Each day is announced once, at noon of the day after."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlplatform.crosscutting.bus import open_bus
from mlplatform.crosscutting.bus.topics import SOURCE_DATA_AVAILABLE
from mlplatform.crosscutting.settings import Settings
from mlplatform.demonstration.delivered import Deliveries
from mlplatform.demonstration.home import lay_out
from mlplatform.demonstration.plan import EARLIEST, LATEST, USE_CASE, plan
from mlplatform.offline import project
from mlplatform_tests.crosscutting.brokers import Broker


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path / "broker") as running:
        yield running


def test_days_are_announced_at_noon_of_the_day_after(broker: Broker, tmp_path: Path) -> None:
    declared = project.load(lay_out(tmp_path, plan(EARLIEST, LATEST, quick=True), known=False) / USE_CASE)
    settings = Settings.load({"MLPLATFORM_HOME": str(tmp_path), "MLPLATFORM_BROKER_URL": broker.url})
    deliveries = Deliveries(declared, settings, ["2013-10-01", "2013-10-02", "2013-10-03"])
    assert deliveries.until(datetime(2013, 10, 2, 11, 59, tzinfo=UTC)) == []
    assert deliveries.behind("2013-09-30") == 0
    assert deliveries.until(datetime(2013, 10, 3, 12, tzinfo=UTC)) == ["2013-10-01", "2013-10-02"]
    assert deliveries.until(datetime(2013, 10, 3, 13, tzinfo=UTC)) == []
    assert (deliveries.behind("2013-09-30"), deliveries.behind("2013-10-02")) == (2, 0)
    with closing(open_bus(broker.url)) as bus:
        told = [each.envelope.data for each in bus.read(SOURCE_DATA_AVAILABLE, 0, 10)]
    assert [(each.data_set, each.partition) for each in told] == [
        ("flights", "2013-10-01"),
        ("flights", "2013-10-02"),
    ]
