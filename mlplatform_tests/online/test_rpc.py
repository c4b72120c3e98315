"""Scoring over a real broker: the same answers and refusals as over HTTP, shared by workers, surviving it."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mlplatform.crosscutting.bus import open_bus
from mlplatform.crosscutting.loop_thread import LoopThread
from mlplatform.crosscutting.rpc import MAX_BYTES, open_rpc
from mlplatform.crosscutting.scoring_rpc import ScoringRpcClient, subject_of
from mlplatform.errors import BusError, MlplatformError, ModelError, RequestError, ServiceError
from mlplatform.online.rpc import Scores as Answers
from mlplatform.online.rpc import ScoringRpc
from mlplatform.online.scoring_app import SCORE_CAP
from mlplatform.online.service import ScoringService
from mlplatform.stages.scoring.score import Answer
from mlplatform_tests.crosscutting.brokers import Broker, free_port
from mlplatform_tests.online.delivery.test_recent import answer
from mlplatform_tests.online.world import USE_CASE, Trained, World, facts_of


class Scores:
    """A scoring service that answers with what it was asked; some use cases go wrong."""

    def __init__(self, name: str = "a") -> None:
        self.name = name

    async def score_json(self, use_case: str, body: bytes, version: str | None = None) -> Any:
        await asyncio.sleep(0)
        match use_case:
            case "refused":
                raise RequestError("got nothing.", status=422, hint="Send more.")
            case "away":
                raise RequestError("no release.", status=503)
            case "broken":
                raise ModelError("the model is broken.")
            case "bug":
                raise ZeroDivisionError
            case "huge":
                return [answer("x", model="x" * MAX_BYTES)]
            case "rows":
                return [answer("1"), answer("2")]
        return answer(self.name, use_case=use_case, model=body.decode(), version=int(version or 1))


class Worker:
    """One process's worth: a service on an event loop."""

    def __init__(self, url: str, name: str = "a", scores: Answers | None = None) -> None:
        self._loop = LoopThread("worker")
        self.rpc = ScoringRpc(scores or Scores(name), url)
        self._loop.run(self._start())

    async def _start(self) -> None:
        self.rpc.start()

    def ready(self, seconds: float = 20.0) -> bool:
        return self._loop.run(self.rpc.ready(seconds))

    def stop(self) -> None:
        self._loop.run(self.rpc.stop())

    def close(self) -> None:
        self.stop()
        self._loop.close()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("broker")) as running, closing(open_bus(running.url)):
        yield running  # with the bus's stream, which stores what is sent below `mlplatform.`


@pytest.fixture
def client(broker: Broker) -> Iterator[ScoringRpcClient]:
    with closing(Worker(broker.url)) as worker, ScoringRpcClient.at(broker.url) as asking:
        assert worker.ready()
        yield asking


def test_an_answer_is_that_of_http(client: ScoringRpcClient) -> None:
    wanted = answer("a", use_case="returns", model='{"shop":"ü","amount":null}', version=1)
    found = client.score("returns", {"shop": "ü", "amount": None})
    assert msgspec.convert(found, Answer) == wanted
    assert client.score("returns", {}, version=7)["version"] == 7
    assert client.score("returns", [{"a": 1}])["model"] == '[{"a":1}]'
    assert [row["prediction_id"] for row in client.score_rows("rows", [{}, {}])] == ["1", "2"]
    with pytest.raises(BusError, match="none that was asked for"):
        client.score("rows", [{}, {}])


def test_the_real_service_answers_alike(broker: Broker, ready: World, trained: Trained) -> None:
    releases = ready.releases()
    releases.poll()
    service, facts = ScoringService(releases), facts_of(trained.frame.row(150, named=True))
    direct = asyncio.run(service.score_json(USE_CASE, msgspec.json.encode(facts)))
    assert isinstance(direct, Answer)
    with (
        closing(Worker(broker.url, scores=ScoringService(releases))) as worker,
        ScoringRpcClient.at(broker.url) as client,
    ):
        assert worker.ready()
        assert msgspec.convert(client.score(USE_CASE, facts), Answer) == direct
        assert client.score(USE_CASE, facts, version=1)["link"] == "asked"
        with pytest.raises(RequestError, match="got use case") as caught:
            client.score("nothing", facts)
        assert caught.value.status == 404


@pytest.mark.parametrize(
    ("use_case", "kind", "told", "status"),
    [
        ("refused", RequestError, "got nothing. Send more.", 422),
        ("huge", RequestError, "the answer is longer than", 413),
        ("away", ServiceError, "no release", 503),
        ("broken", ServiceError, "the model is broken", 500),
        ("bug", ServiceError, "an internal error", 500),
    ],
)
def test_refusals(
    client: ScoringRpcClient, use_case: str, kind: type[MlplatformError], told: str, status: int
) -> None:
    with pytest.raises(kind, match=told) as caught:
        client.score(use_case, {})
    assert isinstance(caught.value, ServiceError) or getattr(caught.value, "status", 0) == status


def test_a_body_that_is_too_long(client: ScoringRpcClient) -> None:
    with pytest.raises(RequestError, match="the body is longer than 256 KiB") as caught:
        client.score("returns", {"x": "x" * SCORE_CAP})
    assert caught.value.status == 413


def test_the_wire(client: ScoringRpcClient, broker: Broker) -> None:
    with closing(open_rpc(broker.url)) as rpc:
        assert b'"model":"{}"' in rpc.request("rpc.mlplatform.score.returns", b"{}", 5)
        assert b'"version":3' in rpc.request("rpc.mlplatform.score.returns.3", b"{}", 5)
        refusal = rpc.request("rpc.mlplatform.score.refused", b"{}", 5)
    assert msgspec.json.decode(refusal) == {"error": "got nothing. Send more.", "status": 422}


@pytest.mark.parametrize("name", ["", "a.b", "*", ">", "a b", "ü", "x" * 101])
def test_names_that_are_no_word_of_a_subject(name: str) -> None:
    for use_case, version in ((name, None), ("returns", name)):
        with pytest.raises(RequestError) as caught:
            subject_of(use_case, version)
        assert caught.value.status == 404


def test_workers_share_the_requests(broker: Broker) -> None:
    with closing(Worker(broker.url, "a")) as first, closing(Worker(broker.url, "b")) as second:
        assert first.ready()
        assert second.ready()
        with ScoringRpcClient.at(broker.url) as client:
            by = Counter(client.score("returns", {})["prediction_id"] for _ in range(60))
            assert set(by) == {"a", "b"}
            assert first.rpc.status()["handled"] + second.rpc.status()["handled"] == 60
            second.stop()
            assert {client.score("returns", {})["prediction_id"] for _ in range(10)} == {"a"}


def test_nobody_serves(broker: Broker) -> None:
    with (
        ScoringRpcClient.at(broker.url) as client,
        pytest.raises(ServiceError, match="no scoring service listens") as caught,
    ):
        client.score("returns", {})
    assert "mlplatform serve" in caught.value.hint


def test_a_broker_that_comes_late_and_one_that_restarts(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    with closing(Worker(broker.url)) as worker:
        assert not worker.ready(0.2)
        until(lambda: "No broker answers" in worker.rpc.status()["trouble"], worker)
        with broker:
            assert worker.ready()
            assert worker.rpc.status()["trouble"] == ""
            with ScoringRpcClient.at(broker.url, timeout=1) as client:
                assert client.score("returns", {})["prediction_id"] == "a"
                os.kill(broker.pid, signal.SIGKILL)
                broker.wait_restarted()
                assert _in_the_end(client)["prediction_id"] == "a"


def until(condition: Any, worker: Worker) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, worker.rpc.status()
        time.sleep(0.01)


def _in_the_end(client: ScoringRpcClient) -> dict[str, Any]:
    deadline = time.monotonic() + 20
    while True:
        try:
            return client.score("returns", {})
        except MlplatformError:
            assert time.monotonic() < deadline, "it never served again"
            time.sleep(0.05)


@pytest.mark.parametrize("url", ["kafka://127.0.0.1:9092", "memory://", "", "http://x"])
def test_other_brokers_leave_it_off_and_say_so(url: str) -> None:
    with closing(Worker(url)) as worker:
        assert not worker.ready()
        status = worker.rpc.status()
    assert status["connected"] is False
    assert "MLPLATFORM_BROKER_URL" in status["trouble"]


def test_a_password_of_the_broker_is_not_told() -> None:
    with closing(Worker(f"nats://me:secret@127.0.0.1:{free_port()}")) as worker:
        until(lambda: worker.rpc.status()["trouble"], worker)
        assert "secret" not in worker.rpc.status()["trouble"]
