"""The embedded broker's settings, asked of the server itself, and its errors."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from mlplatform.crosscutting.bus import open_bus
from mlplatform.crosscutting.bus.embedded import broker_process, is_local
from mlplatform.crosscutting.bus.topics import TOPICS, topic_named
from mlplatform.crosscutting.processes import Supervisor
from mlplatform.errors import BusError, ConfigurationError, ServiceError
from mlplatform_tests.crosscutting.brokers import Broker


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("home")) as running:
        yield running


def test_the_running_server_syncs_every_message_to_disk(broker: Broker) -> None:
    config = httpx.get(f"{broker.monitoring_url()}/jsz?config=1").json()["config"]
    assert config["sync_always"] is True
    assert config["store_dir"].startswith(str(broker.folder))


def test_the_running_server_listens_on_this_machine_alone(broker: Broker) -> None:
    server = httpx.get(f"{broker.monitoring_url()}/varz").json()
    assert (server["host"], server["http_host"]) == ("127.0.0.1", "127.0.0.1")
    assert server["max_payload"] == 1024 * 1024


def test_the_stream_is_on_disk_and_recognises_repeats_for_a_day(broker: Broker) -> None:
    with closing(open_bus(broker.url)):
        found = httpx.get(f"{broker.monitoring_url()}/jsz?streams=1&config=1").json()
    (stream,) = found["account_details"][0]["stream_detail"]
    assert stream["config"]["storage"] == "file"
    assert stream["config"]["duplicate_window"] == 24 * 3600 * 10**9


def test_a_second_broker_on_the_port_is_told_which_setting_to_change(broker: Broker, tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="is taken") as caught:
        Supervisor([broker_process(broker.url, tmp_path)]).start()
    assert "MLPLATFORM_BROKER_URL" in caught.value.hint


@pytest.mark.parametrize(
    "url", ["nats://broker.example:4222", "kafka://127.0.0.1:9092", "memory://", "", "nats://127.0.0.1:port"]
)
def test_only_a_nats_server_on_this_machine_is_embedded(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="broker URL"):
        broker_process(url, tmp_path)


def test_local_urls() -> None:
    assert is_local("nats://localhost:4222")
    assert not is_local("nats://10.0.0.1:4222")
    assert not is_local("memory://")


def test_an_unknown_scheme_names_the_allowed_ones() -> None:
    with pytest.raises(ConfigurationError, match="nats, tls, kafka or memory"):
        open_bus("amqp://127.0.0.1:5672")


def test_an_unknown_topic_names_the_allowed_ones() -> None:
    with pytest.raises(BusError) as caught:
        topic_named("nothing")
    assert all(name in caught.value.hint for name in TOPICS)
