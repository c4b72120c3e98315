"""Delivery over real HTTP: look up, listen, be called back, and an orderly end."""

import asyncio
import json
import logging
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import polars as pl
import pytest
from fastapi import FastAPI

from mlplatform.crosscutting.signature import Secret, verify
from mlplatform.errors import RequestError
from mlplatform.online.delivery.broadcast import Broadcast
from mlplatform.online.delivery.callbacks import callback_of, id_of
from mlplatform.online.delivery.delivery import Delivery
from mlplatform.online.delivery.delivery_http import CALLBACK, PROMISED, RecentFirst, add_delivery
from mlplatform.online.delivery.targets import Targets
from mlplatform.online.delivery.undelivered import Undelivered
from mlplatform.online.delivery.webhooks import Webhooks
from mlplatform.online.graceful import BEFORE_SHUTDOWN, GracefulServer
from mlplatform.online.listening import listen
from mlplatform.online.refusals import add_refusals
from mlplatform.online.replies import Receive, Scope, Send, error_body, send_json
from mlplatform.online.server import config_of
from mlplatform.stages.scoring.score import Answer, Listing, Place
from mlplatform.stores.lake import Lake, Table
from mlplatform.stores.scores_by_id import ScoresById
from mlplatform_tests.online.delivery.receiver import Receiver
from mlplatform_tests.online.delivery.test_recent import answer

KEY = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVoxMjM0NTY="
ID, STORED = "a" * 32, "b" * 32


class Service:
    """What the tests ask: the delivery behind a real server, and a scoring route that answers one thing."""

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery
        self.gives: Any = answer(ID)
        self.asked: list[bytes] = []
        self.url = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._note = delivery.beside(lambda *told: None)
        app = FastAPI(lifespan=self._lifespan)
        add_refusals(app)
        add_delivery(app, delivery, lambda: ["returns"])
        self._app = RecentFirst(delivery.recent, app)

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[Mapping[str, object]]:
        self._loop = asyncio.get_running_loop()
        self.delivery.start()
        yield {BEFORE_SHUTDOWN: self.delivery.end_streams}
        await self.delivery.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/score/"):
            await self._app(scope, receive, send)
            return
        try:
            promise = await self.delivery.callbacks.accept("returns", scope["query_string"], self._ask)
        except RequestError as error:
            await send_json(send, error.status, error_body(error))
        else:
            await send_json(send, 202, promise or b"{}")

    async def _ask(self, rest: bytes) -> Any:
        self.asked.append(rest)
        return self.gives

    def served(self, *answers: Answer) -> None:
        """Answers are given, on the loop of the service."""

        async def give() -> None:
            for each in answers:
                self._note({}, {}, [], each, 0.0, "")

        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(give(), self._loop).result()


@contextmanager
def running(delivery: Delivery) -> Iterator[tuple[Service, GracefulServer]]:
    service = Service(delivery)
    listening = listen("127.0.0.1", 0)
    service.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    server = GracefulServer(config_of(service))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    until(lambda: server.started, "the server does not start")
    try:
        yield service, server
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive(), "the server does not end"


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScoresById]:
    """Scores of two use cases; those of `forecasts` are of before scores had ids."""
    folder = tmp_path_factory.mktemp("lake")
    made = Lake(folder / "catalog.sqlite", folder / "data")
    served = pl.DataFrame(
        {
            "prediction_id": [STORED, "c" * 32],
            "score": [0.5, float("nan")],
            "version": [3, 4],
            "vector": [[1.0], [2.0]],
            "shop": ["a", "ü"],
            "partition_key": ["x", "x"],
        }
    )
    made.write(Table("returns", "served"), served, ["x"])
    scores = pl.DataFrame({"prediction_id": ["d" * 32, STORED], "score": [0.1, 0.2], "class": [True, False]})
    made.write(Table("returns", "scores"), scores)
    made.write(Table("forecasts", "scores"), pl.DataFrame({"score": [1.0]}))
    with closing(made), closing(ScoresById(folder / "catalog.sqlite", folder / "data")) as stored:
        yield stored


def delivery_of(folder: Path, stored: ScoresById, targets: str = "", **more: Any) -> Delivery:
    hooks = Webhooks(Targets(targets), Secret(KEY), Undelivered(folder))
    return Delivery(hooks, stored, **more)


@pytest.fixture
def service(tmp_path: Path, stored: ScoresById) -> Iterator[Service]:
    with running(delivery_of(tmp_path, stored)) as (service, _):
        yield service


def get(url: str, **more: Any) -> httpx.Response:
    return httpx.get(url, trust_env=False, timeout=20, **more)


def post(url: str) -> httpx.Response:
    return httpx.post(url, trust_env=False, timeout=20, content=b"{}")


@contextmanager
def listening_to(url: str, **headers: str) -> Iterator[Iterator[str]]:
    """The lines of a stream that has begun."""
    with (
        httpx.Client(trust_env=False, timeout=20) as client,
        client.stream("GET", url, headers=headers) as response,
    ):
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = response.iter_lines()
        assert next(lines) == "retry: 2000"
        yield lines


def ids(lines: Iterator[str], count: int) -> list[str]:
    found: list[str] = []
    while len(found) < count:
        line = next(lines)
        if line.startswith("id: "):
            found.append(line.removeprefix("id: "))
    return found


def test_look_up(service: Service) -> None:
    assert get(f"{service.url}/scores/{ID}").status_code == 404
    service.served(answer(ID), answer("e" * 32, link="shadow"))
    found = get(f"{service.url}/scores/{ID}")
    assert (found.status_code, found.headers["content-type"]) == (200, "application/json")
    assert found.json()["score"] == 0.25
    assert get(f"{service.url}/scores/{'e' * 32}").status_code == 404, "a shadow answers nobody"


def test_look_up_in_the_lake(service: Service) -> None:
    found = get(f"{service.url}/scores/{STORED}").json()
    assert found == {
        "use_case": "returns",
        "prediction_id": STORED,
        "score": 0.5,
        "version": 3,
        "facts": {"shop": "a"},
        "stored_in": "served",
    }
    assert get(f"{service.url}/scores/{'d' * 32}").json() == {
        "use_case": "returns",
        "prediction_id": "d" * 32,
        "score": 0.1,
        "class": True,
        "facts": {},
        "stored_in": "scores",
    }
    assert get(f"{service.url}/scores/{'c' * 32}").json()["score"] is None


@pytest.mark.parametrize("id", ["f" * 32, "x", "A" * 32, "' OR 1=1 --", "x" * 300])
def test_no_such_score(service: Service, id: str) -> None:
    response = get(f"{service.url}/scores/{quote(id)}")
    assert response.status_code == 404
    assert "no score with it is in memory or in the lake" in response.json()["error"]
    assert len(response.content) < 500


def test_listening(service: Service) -> None:
    with listening_to(f"{service.url}/scores/stream/returns") as lines:
        service.served(answer("x", use_case="another"), answer(ID), answer("y", link="shadow"), answer("z"))
        assert ids(lines, 2) == [ID, "z"]
    until(lambda: service.delivery.status()["streams"]["listening"] == 0, "who left is still counted")
    with listening_to(f"{service.url}/scores/stream/returns", **{"last-event-id": ID}) as lines:
        assert ids(lines, 1) == ["z"]
    unknown = get(f"{service.url}/scores/stream/nothing")
    assert unknown.status_code == 404
    assert unknown.json() == {"error": "got use case 'nothing'; known: returns."}


def test_a_slow_listener_holds_up_nobody_and_is_told_what_it_missed(
    tmp_path: Path, stored: ScoresById
) -> None:
    large = [answer(str(number), model="x" * 20_000) for number in range(1500)]
    delivery = delivery_of(tmp_path, stored, broadcast=Broadcast(most=100))
    with running(delivery) as (service, _), socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", int(service.url.rpartition(":")[2])))
        slow.sendall(b"GET /scores/stream/returns HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        until(lambda: delivery.broadcast.listening == 1, "it does not listen")
        with listening_to(f"{service.url}/scores/stream/returns") as lines:
            for first in range(0, len(large), 50):
                service.served(*large[first : first + 50])
                assert ids(lines, 50) == [str(number) for number in range(first, first + 50)]
        slow.settimeout(20)
        text = b""
        while b"event: dropped" not in text:
            text = text[-100:] + slow.recv(1_000_000)
        assert delivery.broadcast.dropped > 0


def test_the_end_of_the_service_ends_streams_cleanly(
    tmp_path: Path, stored: ScoresById, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.WARNING),
        running(delivery_of(tmp_path, stored)) as (service, server),
        listening_to(f"{service.url}/scores/stream/returns") as lines,
    ):
        service.served(answer(ID))
        server.should_exit = True
        assert [line for line in lines if line.startswith("id: ")] == [f"id: {ID}"]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_callback(tmp_path: Path, stored: ScoresById) -> None:
    with Receiver() as receiver, running(delivery_of(tmp_path, stored, receiver.url)) as (service, _):
        promise = post(f"{service.url}/score/returns?version=3&callback={quote(receiver.url, safe='')}/a%3Fb")
        assert promise.status_code == 202
        assert promise.json() == {"prediction_id": ID, "url": f"/scores/{ID}"}
        assert service.asked == [b"version=3"]
        got = receiver.got.get(timeout=20)
        assert verify(KEY, got.headers, got.body) == ID
        assert got.path == "/a?b"
        assert json.loads(got.body)["score"] == 0.25
        assert get(service.url + promise.json()["url"]).content == got.body


def test_a_callback_of_many_rows(tmp_path: Path, stored: ScoresById) -> None:
    rows = [answer("1" * 32), answer("2" * 32)]
    places = [Place(place=1, score=0.5, prediction_id=row.prediction_id, facts={}) for row in rows]
    ranked = Listing(
        use_case="returns",
        model="m",
        version=1,
        digest="d",
        feature_set="f",
        kind="ranked_list",
        as_of=None,
        link="champion",
        features_age_s=None,
        facts={},
        places=places,
    )
    assert id_of(ranked) == id_of(rows) != id_of(rows[::-1])
    with Receiver() as receiver, running(delivery_of(tmp_path, stored, receiver.url)) as (service, _):
        for service.gives in (ranked, rows):
            promise = post(f"{service.url}/score/returns?callback={receiver.url}/a").json()
            got = receiver.got.get(timeout=20)
            assert promise["prediction_ids"] == ["1" * 32, "2" * 32]
            assert verify(KEY, got.headers, got.body) == promise["prediction_id"] == id_of(rows)
            assert get(service.url + promise["url"]).content == got.body


@pytest.mark.parametrize(
    ("query", "status", "told"),
    [
        ("callback=http://127.0.0.1:1/", 403, "pushing scores is off"),
        ("callback=", 400, "got callback ''"),
        ("callback=a&callback=b", 400, "got 2 callbacks"),
        ("callback=%ff", 400, "query string cannot be read"),
        ("&".join(f"x{number}=1" for number in range(20)) + "&callback=a", 400, "at most 8 fields"),
    ],
)
def test_callbacks_that_are_refused(service: Service, query: str, status: int, told: str) -> None:
    response = post(f"{service.url}/score/returns?{query}")
    assert response.status_code == status
    assert told in response.json()["error"]
    assert service.asked == [], "it was scored although nobody would get it"


@pytest.mark.parametrize("query", [b"", b"version=1", b"x=callback", b"xcallback=http://a"])
def test_query_strings_without_a_callback_stay_as_they_are(query: bytes) -> None:
    assert callback_of(query) == (None, query)


def test_the_routes_are_described(service: Service) -> None:
    described = get(f"{service.url}/openapi.json").json()["paths"]
    assert set(described) == {"/scores/{prediction_id}", "/scores/stream/{use_case}"}
    stream = described["/scores/stream/{use_case}"]["get"]
    assert {each["name"] for each in stream["parameters"]} == {"use_case", "Last-Event-ID"}
    assert "text/event-stream" in stream["responses"]["200"]["content"]
    assert CALLBACK["name"] == "callback"
    assert set(PROMISED["content"]["application/json"]["schema"]["properties"]) == {
        "prediction_id",
        "url",
        "prediction_ids",
    }
