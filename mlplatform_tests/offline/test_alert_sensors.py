"""The outbox of alerts: what a broker outage held up follows, each change once and in order."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlplatform.crosscutting.alerting.alert import Alert
from mlplatform.crosscutting.bus import open_bus
from mlplatform.crosscutting.bus.topics import ALERT_RAISED, AlertRaised
from mlplatform.crosscutting.settings import Settings
from mlplatform.offline.sensors.alerts import publish
from mlplatform.stores.alerts import AlertStore
from mlplatform_tests.crosscutting.brokers import Broker, free_port

AT = datetime(2025, 4, 9, tzinfo=UTC)


def alert(subject: str) -> Alert:
    return Alert(
        use_case="orders",
        kind="errors-rise",
        subject=subject,
        severity="warning",
        cause="the errors rise.",
        remedy="Look.",
        at=AT,
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AlertStore]:
    with closing(AlertStore(Settings.load({"MLPLATFORM_HOME": str(tmp_path)}).state_url)) as store:
        yield store


def told(url: str) -> list[AlertRaised]:
    with closing(open_bus(url)) as bus:
        return [each.envelope.data for each in bus.read(ALERT_RAISED, 0, 100)]


def at(home: Path, url: str) -> Settings:
    return Settings.load({"MLPLATFORM_HOME": str(home), "MLPLATFORM_BROKER_URL": url})


def test_an_outage_loses_nothing_and_doubles_nothing(tmp_path: Path, store: AlertStore) -> None:
    away = at(tmp_path, f"nats://127.0.0.1:{free_port()}")
    assert publish(away, 0) == (0, "")
    assert store.raise_(alert("version 2"))
    assert not store.raise_(alert("version 2"))
    assert store.raise_(alert("version 3"))
    after, trouble = publish(away, 0)
    assert after == 0
    assert "No broker answers" in trouble
    (tmp_path / "broker").mkdir()
    with Broker(tmp_path / "broker") as broker:
        there = at(tmp_path, broker.url)
        assert publish(there, 0) == (2, "")
        assert store.clear("orders", "errors-rise", "version 2", "it was rolled back", at=AT)
        assert publish(there, 2) == (3, "")
        assert publish(there, 0) == (3, "")  # a lost cursor
        found = told(broker.url)
    assert [(each.number, each.action, each.subject) for each in found] == [
        (1, "raised", "version 2"),
        (2, "raised", "version 3"),
        (3, "cleared", "version 2"),
    ]
    assert found[2].why == "it was rolled back"
