"""2,000 hostile bodies against the real apps: no answer is 5xx, longer than 2 kB or tells a secret.

The apps run in this process behind their gate, with keys; after every hostile body a good one is answered.
"""

import asyncio
import json
import re
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mlplatform.crosscutting.access import Access
from mlplatform.crosscutting.bus.memory import MemoryBus
from mlplatform.crosscutting.settings import Settings
from mlplatform.online import http, ingestion_http
from mlplatform.online.acceptor import Acceptor
from mlplatform.online.batch_http import BatchScores
from mlplatform.online.gate import Gate
from mlplatform.online.key_ring import KeyRing
from mlplatform.online.replies import ASGIApp
from mlplatform.online.splits import Splits
from mlplatform.stores.keys import KeyStore
from mlplatform_tests.faults.hostile import SECRET, VALUES, bodies
from mlplatform_tests.online.world import USE_CASE, World, facts_of, orders, train

COUNT = 2_000
LONGEST = 2_000
AT = "2024-03-05T12:00:00Z"
FACTS = {"placed": AT, "shop": SECRET, "country": "AT", "amount": 5, "weight": 1.5, "express": True}
TENSORS = {
    "id": "7",
    "inputs": [
        {"name": "placed", "shape": [2], "datatype": "BYTES", "data": [AT, AT]},
        {"name": "shop", "shape": [2], "datatype": "BYTES", "data": [SECRET, None]},
        {"name": "amount", "shape": [2], "datatype": "INT64", "data": [1, None]},
    ],
    "outputs": [{"name": "probability"}],
}
EVENT = {"id": "e1", "time": AT, "subject": "s", "data": {"password": SECRET, "n": [1, 2.5]}}
DAYS = {"use_case": USE_CASE, "first": "2024-03-01", "last": "2024-03-02", "key": SECRET}
LOAD = {"parameters": {"config": SECRET}}
ROUTES: dict[str, dict[str, Any]] = {
    f"/score/{USE_CASE}": FACTS,
    f"/v2/models/{USE_CASE}/infer": TENSORS,
    f"/v2/models/{USE_CASE}/versions/1/infer": TENSORS,
    "/v2/repository/index": LOAD,
    "/v2/repository/models/nothing/load": LOAD,
    "/v2/repository/models/nothing/unload": LOAD,
    "/batch-scores": DAYS,
    "/events/clicks": EVENT,
}
SHARE = {f"/score/{USE_CASE}": 0.35, f"/v2/models/{USE_CASE}/infer": 0.25, "/events/clicks": 0.2}
"""Of all bodies; the other routes share the rest."""


class Reply(NamedTuple):
    """What came back."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


class Services:
    """The scoring and the ingestion service behind one gate, asked as uvicorn would."""

    def __init__(self, folder: Path) -> None:
        self.folder, frame = folder, orders()
        trained, world = train(frame), World(folder)
        world.write(frame)
        world.promote(trained.candidate)
        releases = world.releases()
        releases.poll()
        with closing(KeyStore(world.state_url)) as store:
            self.key, _ = store.add("tester", ["admin"], "test", datetime(2026, 1, 1, tzinfo=UTC))
            ring = KeyRing(lambda: store)
            ring.refresh()
        gate = Gate(Access(keys=True), ring)
        batch = BatchScores(Settings.load({"MLPLATFORM_HOME": str(folder)}))
        splits = Splits(world.lake, lambda: 0)
        self.scoring = http.application(
            releases, poll_seconds=0, splits=splits, gate=gate, batch_scores=batch
        )
        acceptor = Acceptor(MemoryBus(), {"u": ["clicks"]})
        self.ingestion = ingestion_http.application(acceptor, gate=gate)
        self.good = json.dumps(facts_of(frame.row(150, named=True))).encode()
        self.score = trained.scores[150]

    async def ask(
        self, path: str, body: bytes, content_type: str = "application/json", query: bytes = b"", **more: Any
    ) -> Reply:
        app: ASGIApp = self.ingestion if path.startswith("/events") else self.scoring
        headers = [
            (b"host", b"localhost:8080"),
            (b"authorization", b"Bearer " + self.key.encode()),
            (b"content-type", content_type.encode()),
            (b"content-length", b"%d" % len(body)),
        ]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query,
            "headers": headers,
            "client": ("127.0.0.1", 5),
            "server": ("127.0.0.1", 8080),
            "state": {},
            **more,
        }
        parts, sent = [{"type": "http.request", "body": body, "more_body": False}], []

        async def receive() -> Any:
            return parts.pop() if parts else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await app(scope, receive, send)
        content = b"".join(message.get("body", b"") for message in sent[1:])
        return Reply(sent[0]["status"], dict(sent[0]["headers"]), content)

    def check(self, reply: Reply, what: object) -> None:
        """What holds of every reply."""
        assert reply.status < 500, (what, reply)
        assert self.key.encode() not in reply.body, what
        assert str(self.folder).encode() not in reply.body, what
        if reply.status >= 400:
            assert len(reply.body) <= LONGEST, (what, reply)
            assert SECRET.encode() not in reply.body, (what, reply)
            assert json.loads(reply.body).keys() == {"error"}, (what, reply)
            assert json.loads(reply.body)["error"], what

    async def answers(self) -> bool:
        """Whether a good question gets its right answer."""
        reply = await self.ask(f"/score/{USE_CASE}", self.good)
        return reply.status == 200 and json.loads(reply.body)["score"] == self.score


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Services:
    return Services(tmp_path_factory.mktemp("hostile"))


def test_the_bodies_are_read_before_they_are_made_hostile(services: Services) -> None:
    async def ask_all() -> list[int]:
        return [(await services.ask(path, json.dumps(body).encode())).status for path, body in ROUTES.items()]

    assert asyncio.run(ask_all()) == [200, 200, 200, 200, 400, 400, 202, 202]


def test_two_thousand_hostile_bodies(services: Services) -> None:
    rest = (1 - sum(SHARE.values())) / (len(ROUTES) - len(SHARE))
    counts = {path: round(COUNT * SHARE.get(path, rest)) for path in ROUTES}
    seen: dict[int, int] = {}

    async def ask_all() -> None:
        for seed, (path, count) in enumerate(counts.items()):
            good = json.dumps(ROUTES[path]).encode()
            for kind, content_type, body in bodies(good, count, seed):
                reply = await services.ask(path, body, content_type)
                services.check(reply, (path, kind, content_type, body[:300]))
                if kind == "doubled" and path.startswith(("/score/", "/v2/models/")):
                    assert (reply.status, b" twice; " in reply.body) == (400, True), (path, body)
                seen[reply.status] = seen.get(reply.status, 0) + 1
            assert await services.answers(), path

    asyncio.run(ask_all())
    assert sum(seen.values()) >= COUNT
    assert seen[400] > COUNT / 2, seen  # they are hostile indeed


@pytest.mark.parametrize("bad", VALUES, ids=range(len(VALUES)))
def test_every_value_for_every_fact_and_tensor(services: Services, bad: bytes) -> None:
    async def ask_all() -> None:
        for name in FACTS:
            body = json.dumps(FACTS | {name: "@@@"}).encode().replace(b'"@@@"', bad)
            services.check(await services.ask(f"/score/{USE_CASE}", body), (name, bad[:50]))
        for key in ("name", "shape", "datatype", "data"):
            tensor = {**TENSORS["inputs"][0], key: "@@@"}
            body = json.dumps({"inputs": [tensor]}).encode().replace(b'"@@@"', bad)
            services.check(await services.ask(f"/v2/models/{USE_CASE}/infer", body), (key, bad[:50]))
        assert await services.answers()

    asyncio.run(ask_all())


def test_a_doubled_key_beside_nested_values(services: Services) -> None:
    shop = b'{"name":"shop","shape":[2],"shape":[2,1],"datatype":"BYTES","data":[["a"],[null]]}'
    placed = b'{"name":"placed","shape":[2],"datatype":"BYTES","data":["%s","%s"]}' % (
        AT.encode(),
        AT.encode(),
    )
    body = b'{"inputs":[%s,%s]}' % (placed, shop)
    reply = asyncio.run(services.ask(f"/v2/models/{USE_CASE}/infer", body))
    assert (reply.status, b" twice; " in reply.body) == (400, True)


FIVE_MB = 5 * 1024 * 1024
HUGE: dict[str, Callable[[], bytes]] = {
    "numbers": lambda: b"[" + b"1," * (FIVE_MB // 2) + b"1]",
    "objects": lambda: b"[" + b"{}," * (FIVE_MB // 3) + b"{}]",
    "one text": lambda: b'{"shop":"' + b"x" * FIVE_MB + b'"}',
    "tensor": lambda: (
        b'{"inputs":[{"name":"a","shape":[1],"datatype":"FP64","data":[' + b"1," * (2_000_000) + b"1]}]}"
    ),
    "shape": lambda: b'{"inputs":[{"name":"a","shape":[' + b"1," * 2_000_000 + b"1]}]}",
    "depth": lambda: b"[" * 4_000_000,
    "keys": lambda: b"{" + b",".join(b'"k%d":1' % n for n in range(300_000)) + b"}",
}


@pytest.mark.parametrize("path", [f"/score/{USE_CASE}", f"/v2/models/{USE_CASE}/infer", "/events/clicks"])
@pytest.mark.parametrize("huge", HUGE)
def test_huge_bodies(services: Services, path: str, huge: str) -> None:
    async def ask() -> None:
        reply = await services.ask(path, HUGE[huge]())
        services.check(reply, huge)
        assert reply.status >= 400
        assert await services.answers()

    asyncio.run(ask())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([AT, USE_CASE]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*FACTS, *TENSORS, *EVENT]) | st.text(), inner, max_size=5)
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(JSON | st.binary(max_size=60), st.sampled_from(sorted(ROUTES)))
def test_whatever_json_can_say(services: Services, content: object, path: str) -> None:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()

    async def ask() -> None:
        services.check(await services.ask(path, body), (path, body))
        assert await services.answers()

    asyncio.run(ask())


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(["/score/", "/v2/models/", "/splits/", "/batch-scores/", "/events/", "/v2/", "/docs"]),
    st.text(max_size=20)
    | st.sampled_from(["../../etc/passwd", "%00", "\0", "a/versions/1e9/infer", "x" * 2_000]),
    st.binary(max_size=30)
    | st.sampled_from([b"use_case=", b"a=1&a=1", b"part=train&limit=-1", b"version=%00"]),
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"]),
)
@example("/batch-scores/", "", b"\x80", "GET")
def test_whatever_an_address_can_say(
    services: Services, start: str, rest: str, query: bytes, method: str
) -> None:
    path = start + rest

    async def ask() -> None:
        raw = path.encode("utf-8", "surrogatepass")
        reply = await services.ask(path, b"", query=query, method=method, raw_path=raw)
        services.check(reply, (method, path, query))
        assert reply.status != 405 or re.fullmatch(rb"[A-Z, ]+", reply.headers[b"allow"])

    asyncio.run(ask())
