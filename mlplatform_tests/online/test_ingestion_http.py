"""The HTTP service over buses that work, hang and fail: what is accepted, what is refused, what it shows."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from fastapi.testclient import TestClient

from mlplatform.crosscutting.bus.memory import MemoryBus
from mlplatform.crosscutting.bus.nats_jetstream import NatsBus
from mlplatform.crosscutting.bus.topics import SOURCE_EVENT
from mlplatform.errors import BusError, ConfigurationError
from mlplatform.online.acceptor import Acceptor
from mlplatform.online.events import BODY_CAP
from mlplatform.online.ingestion_http import application
from mlplatform.online.ingestion_server import parse
from mlplatform.stores.lake import Lake, Table
from mlplatform_tests.crosscutting.brokers import Broker, free_port

STREAMS = {"u": ["events", "both"], "w": ["both"]}


def event(number: int, **changed: object) -> dict[str, object]:
    return {"id": f"i{number}", "time": "2013-01-01T00:00:00Z", "data": {"n": number}} | changed


class Switch(MemoryBus):
    """A bus that fails, or holds every call, for as long as it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = False
        self.calls = 0
        self.open = threading.Event()
        self.open.set()

    def publish_many(self, topic: Any, messages: Sequence[Any]) -> list[int]:
        self.calls += 1
        self.open.wait()
        if self.fails:
            raise BusError("No broker answers at nats://secret:4222.")
        return super().publish_many(topic, messages)


@pytest.fixture
def bus() -> Switch:
    return Switch()


@pytest.fixture
def client(bus: Switch) -> Iterator[TestClient]:
    with TestClient(
        application(Acceptor(bus, STREAMS, in_flight=20, bytes_in_flight=2 * BODY_CAP))
    ) as client:
        yield client


def test_one_event_and_many(client: TestClient, bus: Switch) -> None:
    one = client.post("/events/events", json=event(0, subject="k"))
    assert (one.status_code, one.json()) == (202, {"accepted": 1, "positions": [1]})
    many = client.post("/events/events", json=[event(1), event(0), event(2)])
    assert (many.status_code, many.json()) == (202, {"accepted": 3, "positions": [2, 1, 3]})
    lines = b"\n".join(msgspec.json.encode(event(n)) for n in (3, 4))
    sent = client.post("/events/events", content=lines, headers={"content-type": "application/x-ndjson"})
    assert sent.json()["positions"] == [4, 5]
    first = bus.read(SOURCE_EVENT, 0, 10)[0].envelope
    assert (first.source, first.partitionkey, first.id) == ("/events/events", "k", "u/events/i0")
    assert bytes(first.data.document) == b'{"n":0}'


def test_a_wrong_event_stops_all(client: TestClient, bus: Switch) -> None:
    answer = client.post("/events/events", json=[event(0), event(1, time="today")])
    assert answer.status_code == 400
    assert "$[1].time" in answer.json()["error"]
    assert bus.last(SOURCE_EVENT) == 0


def test_streams(client: TestClient) -> None:
    unknown = client.post("/events/nothing", json=event(0))
    assert unknown.status_code == 404
    assert "known: u/events, u/both, w/both" in unknown.json()["error"]
    unclear = client.post("/events/both", json=event(0))
    assert unclear.status_code == 400
    assert "?use_case=u" in unclear.json()["error"]
    assert client.post("/events/both?use_case=w", json=event(0)).status_code == 202
    assert client.post("/events/events?use_case=w", json=event(0)).status_code == 404
    assert client.get("/events/events").status_code == 405


def test_a_body_that_is_too_long(client: TestClient) -> None:
    announced = client.post("/events/events", content=b"x" * (BODY_CAP + 1))
    assert (announced.status_code, announced.headers["connection"]) == (413, "close")
    pieces = client.post("/events/events", content=iter([b" " * 1024**2] * 5))
    assert pieces.status_code == 413


def test_a_broker_that_is_away(client: TestClient, bus: Switch, monkeypatch: pytest.MonkeyPatch) -> None:
    bus.fails = True
    for _ in range(3):
        answer = client.post("/events/events", json=event(0))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "secret" not in answer.text
    assert bus.calls == 1  # for a second nobody waits for it in vain
    assert client.get("/health/ready").status_code == 503
    assert client.get("/health/live").status_code == 200
    bus.fails = False
    time.sleep(1.05)
    assert client.post("/events/events", json=event(0)).status_code == 202
    assert client.get("/health/ready").json() == {"ready": True, "trouble": {}}


def test_back_pressure(client: TestClient, bus: Switch) -> None:
    def post(number: int) -> httpx.Response:
        return client.post("/events/events", json=[event(10 * number + n) for n in range(10)])

    bus.open.clear()
    with ThreadPoolExecutor(8) as pool:
        held = [pool.submit(post, number) for number in range(2)]
        while client.get("/v1/status").json()["use_cases"]["u"]["events"]["in_flight"] < 20:
            time.sleep(0.01)
        refused = list(pool.map(post, range(2, 8)))
        assert {(answer.status_code, answer.headers["retry-after"]) for answer in refused} == {(429, "1")}
        bus.open.set()
        assert [answer.result().status_code for answer in held] == [202, 202]
    assert post(9).status_code == 202
    status = client.get("/v1/status").json()["use_cases"]["u"]["events"]
    assert status == {
        "newest": 30,
        "archived": 0,
        "lag": 30,
        "in_flight": 0,
        "accepted": 30,
        "refused": 6,
    }
    assert bus.last(SOURCE_EVENT) == 30


def test_bytes_in_flight_are_bounded(bus: Switch) -> None:
    acceptor = Acceptor(bus, STREAMS, bytes_in_flight=1000)
    with TestClient(application(acceptor)) as client:
        assert client.post("/events/events", json=event(0)).status_code == 202
        assert client.post("/events/events", content=iter([b"{}"])).status_code == 429
        assert client.post("/events/events", content=b" " * 1001).status_code == 429
        assert client.post("/events/events", json=event(1)).status_code == 202


def test_the_documentation_has_the_route(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    post = document["paths"]["/events/{stream}"]["post"]
    assert "application/x-ndjson" in post["requestBody"]["content"]
    assert {"202", "400", "404", "413", "429", "503"} <= set(post["responses"])


def test_words_of_the_command_line() -> None:
    assert parse(["a:x", "a:y", "b:x", "a:x"]) == {"a": ["x", "y"], "b": ["x"]}
    for word in ("a", "a:", "A:x", "a:x-y"):
        with pytest.raises(ConfigurationError):
            parse([word])


class TestProcess:
    """The real process beside a real broker."""

    @pytest.fixture
    def broker(self, tmp_path: Path) -> Iterator[Broker]:
        with Broker(tmp_path) as broker:
            yield broker

    @staticmethod
    def start(broker: Broker, home: Path, port: int) -> subprocess.Popen[str]:
        environment = os.environ | {
            "MLPLATFORM_HOME": str(home),
            "MLPLATFORM_BROKER_URL": broker.url,
            "MLPLATFORM_INGESTION_PORT": str(port),
        }
        command = [sys.executable, "-m", "mlplatform.online.ingestion_server", "u:events"]
        return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)

    def test_events_are_accepted_archived_and_it_ends_in_order(self, broker: Broker, tmp_path: Path) -> None:
        port = free_port()
        process = self.start(broker, tmp_path, port)
        url = f"http://127.0.0.1:{port}"
        try:
            until(lambda: answers(f"{url}/health/ready"))
            again = self.start(broker, tmp_path, free_port())
            assert again.wait(timeout=30) == 1
            assert again.stderr is not None
            assert "runs already" in again.stderr.read()
            with httpx.Client(base_url=url, trust_env=False) as client:
                sent = client.post("/events/events", json=[event(n) for n in range(100)])
                assert sent.json()["positions"] == list(range(1, 101))

                def status() -> dict[str, Any]:
                    return dict(client.get("/v1/status").json()["use_cases"]["u"]["events"])

                until(lambda: status()["archived"] == 100)
                assert status()["lag"] == 0
                client.post("/events/events", json=event(100))
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0
            assert process.stderr is not None
            assert "Traceback" not in process.stderr.read()
        finally:
            process.kill()
        with closing(Lake(tmp_path / "lake" / "catalog.sqlite", tmp_path / "lake" / "data")) as lake:
            ids = lake.read(Table("u", "raw_events"))["event_id"].to_list()
        assert ids[:100] == [f"i{n}" for n in range(100)]

    def test_through_a_broker_that_dies(self, broker: Broker) -> None:
        with closing(NatsBus(broker.url)) as bus, TestClient(application(Acceptor(bus, STREAMS))) as client:
            assert client.post("/events/events", json=event(0)).status_code == 202
            os.kill(broker.pid, signal.SIGKILL)
            statuses = [client.post("/events/events", json=event(n)).status_code for n in range(1, 30)]
            assert set(statuses) <= {202, 503}
            until(lambda: client.post("/events/events", json=event(99)).status_code == 202)
            stored = {r.envelope.id for r in bus.read(SOURCE_EVENT, 0, 1000)}
            accepted = [n for n, status in enumerate(statuses, start=1) if status == 202]
            assert {f"u/events/i{n}" for n in [0, 99, *accepted]} <= stored


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def until(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
