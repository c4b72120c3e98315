"""The gate in front of a small app: who passes, who is refused with which status, what an answer gets."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlplatform.crosscutting.access import Access
from mlplatform.errors import StoreError
from mlplatform.online.gate import CALLER, LONGEST_HEADERS, LONGEST_PATH, MOST_HEADERS, Gate, Gated
from mlplatform.online.key_ring import KeyRing
from mlplatform.online.rate_limit import RateLimit
from mlplatform.stores.keys import KeyStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HERE, SCORE = "http://127.0.0.1:8080", "/score/u"


async def told(scope: Any, receive: Any, send: Any) -> None:
    """An app that answers with whose key it was asked."""
    body = json.dumps({"caller": scope.get(CALLER)}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def ask(app: Gated, method: str = "GET", path: str = "/v1/status", **more: Any) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url=more.pop("base", HERE)) as client:
            return await client.request(method, path, **more)

    return asyncio.run(send())


def refusal(response: httpx.Response, status: int) -> str:
    """The text of a refusal in our form."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert int(response.headers["content-length"]) == len(response.content) <= 2_000
    return str(response.json()["error"])


def scope_of(headers: list[tuple[bytes, bytes]], **more: Any) -> dict[str, Any]:
    made = {"type": "http", "method": "GET", "path": "/v1/status", "query_string": b"", "http_version": "1.1"}
    return {**made, "headers": headers, **more}


def status_of(app: Gated, scope: dict[str, Any]) -> int:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("a gate reads no body")

    asyncio.run(app(scope, receive, send))
    return int(sent[0]["status"])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[KeyStore]:
    with closing(KeyStore(f"sqlite:///{tmp_path / 'state.sqlite'}")) as made:
        yield made


class TestHost:
    @pytest.mark.parametrize(
        "host", ["127.0.0.1", "127.0.0.1:8080", "localhost:1", "LocalHost", "[::1]:8080", "[::1]"]
    )
    def test_names_of_this_machine(self, host: str) -> None:
        assert ask(Gate(Access()).around(told), headers={"host": host}).status_code == 200

    @pytest.mark.parametrize(
        "host",
        ["evil.example.org", "127.0.0.1.evil.org", "localhost:1.evil.org", "", "a@localhost", "[::2]:1"],
    )
    def test_names_that_a_page_had_resolve_to_us(self, host: str) -> None:
        said = refusal(ask(Gate(Access()).around(told), headers={"host": host}), 400)
        assert (
            said == f"got Host '{host}', which is not served. Names are allowed by MLPLATFORM_ALLOWED_HOSTS."
        )

    def test_any_name_may_be_allowed(self) -> None:
        gated = Gate(Access(hosts=("*",))).around(told)
        assert ask(gated, headers={"host": "pod-7:80"}).status_code == 200

    def test_made_up_ports_do_not_fill_the_memory(self) -> None:
        gate = Gate(Access())
        for port in range(2_000):
            gate.host({}, b"localhost:%d" % port)
        assert len(gate._hosts) <= 1_000

    def test_without_a_host(self) -> None:
        gated = Gate(Access()).around(told)
        assert status_of(gated, scope_of([])) == 400
        assert status_of(gated, scope_of([], http_version="1.0")) == 200


class TestOrigin:
    def test_a_page_of_another_origin_is_refused(self) -> None:
        said = refusal(ask(Gate(Access()).around(told), headers={"origin": "https://evil.example.org"}), 403)
        assert said.startswith("got Origin 'https://evil.example.org', which is not allowed.")
        assert ask(Gate(Access()).around(told), headers={"origin": "null"}).status_code == 403

    def test_our_own_page_may_ask(self) -> None:
        response = ask(Gate(Access()).around(told), headers={"origin": HERE})
        assert response.status_code == 200
        assert "access-control-allow-origin" not in response.headers

    def test_an_allowed_page_may_read(self) -> None:
        gated = Gate(Access(origins=("https://shop.example.org",))).around(told)
        response = ask(gated, "POST", SCORE, headers={"origin": "https://shop.example.org"})
        assert response.headers["access-control-allow-origin"] == "https://shop.example.org"
        assert response.headers["vary"] == "origin"
        assert ask(gated, headers={"origin": "https://shop.example.org.evil.org"}).status_code == 403
        assert ask(gated, headers={"origin": "http://shop.example.org"}).status_code == 403

    def test_preflight_needs_no_key(self, store: KeyStore) -> None:
        ring = KeyRing(lambda: store)
        ring.refresh()
        gated = Gate(Access(origins=("https://shop.example.org",)), ring).around(told)
        headers = {"origin": "https://shop.example.org", "access-control-request-method": "POST"}
        response = ask(gated, "OPTIONS", SCORE, headers=headers)
        assert (response.status_code, response.content) == (204, b"")
        assert response.headers["access-control-allow-origin"] == "https://shop.example.org"
        assert "POST" in response.headers["access-control-allow-methods"]
        assert "authorization" in response.headers["access-control-allow-headers"]
        refused = ask(gated, "OPTIONS", SCORE, headers=headers | {"origin": "https://evil.example.org"})
        assert refused.status_code == 403
        answer = ask(gated, "POST", SCORE, headers={"origin": "https://shop.example.org"})
        assert answer.status_code == 401
        assert answer.headers["access-control-allow-origin"] == "https://shop.example.org"

    def test_any_origin(self) -> None:
        response = ask(Gate(Access(origins=("*",))).around(told), headers={"origin": "https://a.org"})
        assert response.headers["access-control-allow-origin"] == "*"


class TestLimits:
    def test_a_long_address(self) -> None:
        gated = Gate(Access()).around(told)
        assert ask(gated, path="/" + "a" * (LONGEST_PATH - 1)).status_code == 200
        assert refusal(ask(gated, path="/" + "a" * LONGEST_PATH), 414)
        assert refusal(ask(gated, path="/?" + "a" * 9_000), 414)

    def test_long_headers(self) -> None:
        gated = Gate(Access()).around(told)
        assert refusal(ask(gated, headers={"x": "a" * LONGEST_HEADERS}), 431)
        assert refusal(ask(gated, headers=[("x", "a")] * (MOST_HEADERS + 1)), 431)
        assert ask(gated, headers=[("x", "a")] * (MOST_HEADERS // 2)).status_code == 200

    @pytest.mark.parametrize("name", ["host", "authorization", "x-api-key", "origin", "content-length"])
    def test_headers_of_which_one_must_count(self, name: str) -> None:
        twice = [(b"host", b"localhost"), (name.encode(), b"localhost"), (name.encode(), b"localhost")]
        assert status_of(Gate(Access()).around(told), scope_of(twice)) == 400

    def test_what_a_browser_shows_is_no_other_type(self) -> None:
        gated = Gate(Access()).around(told)
        for response in (ask(gated), ask(gated, headers={"host": "evil.org"})):
            assert response.headers["x-content-type-options"] == "nosniff"
            assert response.headers["x-frame-options"] == "DENY"

    def test_a_web_socket_is_closed(self) -> None:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "websocket.connect"}

        asyncio.run(Gate(Access()).around(told)({"type": "websocket"}, receive, send))
        assert sent == [{"type": "websocket.close", "code": 1008}]

    def test_rate_by_address_and_by_key(self, store: KeyStore) -> None:
        secret, _ = store.add("shop", ["score"], "ann", NOW)
        ring = KeyRing(lambda: store)
        ring.refresh()
        gated = Gate(Access(keys=True, rate=1.0, burst=2), ring, RateLimit(1.0, 2, clock=lambda: 5.0)).around(
            told
        )
        mine = {"x-api-key": secret}
        assert [ask(gated, headers=mine).status_code for _ in range(3)] == [200, 200, 429]
        assert [ask(gated).status_code for _ in range(3)] == [401, 401, 429]
        response = ask(gated)
        assert refusal(response, 429) == "too many requests. Ask again in 1 s."
        assert response.headers["retry-after"] == "1"
        assert ask(gated, path="/health/live").status_code == 200


class TestKeys:
    @pytest.fixture
    def ring(self, store: KeyStore) -> KeyRing:
        return KeyRing(lambda: store)

    @pytest.fixture
    def gated(self, ring: KeyRing) -> Gated:
        return Gate(Access(keys=True), ring).around(told)

    def test_without_a_key_only_health_answers(self, gated: Gated, ring: KeyRing) -> None:
        ring.refresh()
        for path in ("/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"):
            assert ask(gated, path=path).status_code == 200
        for path in ("/v1/status", "/docs", "/openapi.json", "/v2", "/", "/nothing", "/health"):
            response = ask(gated, path=path)
            assert refusal(response, 401).startswith("the request has no key. Send `Authorization: Bearer")
            assert response.headers["www-authenticate"] == 'Bearer realm="mlplatform"'
        assert ask(gated, "POST", "/health/live").status_code == 401

    @pytest.mark.parametrize(
        "headers",
        [
            {"authorization": "Bearer {}"},
            {"authorization": "bearer  {}"},
            {"x-api-key": "{}"},
            {"authorization": "Basic YTpi", "x-api-key": "{}"},
        ],
    )
    def test_the_ways_to_send_a_key(
        self, gated: Gated, ring: KeyRing, store: KeyStore, headers: dict[str, str]
    ) -> None:
        secret, _ = store.add("shop", ["score"], "ann", NOW)
        ring.refresh()
        sent = {name: value.format(secret) for name, value in headers.items()}
        for _ in range(2):
            assert ask(gated, "POST", SCORE, headers=sent).json() == {"caller": "shop"}

    @pytest.mark.parametrize(
        "value", ["Bearer ", "Bearer mlp_wrong", "{}", "Basic {}", "Bearer {}x", "Bearer\xe4"]
    )
    def test_keys_that_are_none(self, gated: Gated, ring: KeyRing, store: KeyStore, value: str) -> None:
        secret, _ = store.add("shop", ["score"], "ann", NOW)
        ring.refresh()
        response = ask(
            gated, "POST", SCORE, headers={"authorization": value.format(secret).encode("latin-1")}
        )
        assert refusal(response, 401).startswith("the key is not known, or was revoked.")
        assert secret not in response.text
        assert "wrong" not in response.text

    def test_each_scope_is_good_for_its_routes(self, gated: Gated, ring: KeyRing, store: KeyStore) -> None:
        keys = {name: store.add(name, [name], "ann", NOW)[0] for name in ("score", "ingest", "admin")}
        ring.refresh()
        routes = {
            ("POST", SCORE): {"score", "admin"},
            ("POST", "/v2/models/u/infer"): {"score", "admin"},
            ("GET", "/v2"): {"score", "admin"},
            ("POST", "/events/orders"): {"ingest", "admin"},
            ("GET", "/v1/status"): {"score", "ingest", "admin"},
            ("GET", "/splits/u"): {"admin"},
            ("POST", "/v2/repository/models/u/load"): {"admin"},
            ("DELETE", SCORE): {"admin"},
            ("POST", "/what/nobody/thought/of"): {"admin"},
        }
        for (method, path), allowed in routes.items():
            for name, secret in keys.items():
                response = ask(gated, method, path, headers={"x-api-key": secret})
                assert response.status_code == (200 if name in allowed else 403), (method, path, name)
        said = ask(gated, "POST", SCORE, headers={"x-api-key": keys["ingest"]})
        assert refusal(said, 403) == "the key 'ingest' is not good for this; needed: the scope 'score'."
        assert 'scope="score"' in said.headers["www-authenticate"]

    def test_a_revoked_key_is_refused_after_the_next_look(
        self, gated: Gated, ring: KeyRing, store: KeyStore
    ) -> None:
        secret, _ = store.add("shop", ["score"], "ann", NOW)
        ring.refresh()
        mine = {"authorization": f"Bearer {secret}"}
        assert ask(gated, "POST", SCORE, headers=mine).status_code == 200
        store.revoke("shop", NOW)
        ring.refresh()
        assert ask(gated, "POST", SCORE, headers=mine).status_code == 401

    def test_before_the_keys_are_known(self, gated: Gated) -> None:
        response = ask(gated, headers={"x-api-key": "mlp_x"})
        assert refusal(response, 503) == "the keys are not known yet. Ask again in a second."
        assert response.headers["retry-after"] == "1"
        assert ask(gated, path="/health/live").status_code == 200

    def test_a_database_that_is_away_takes_no_key_away(self, store: KeyStore) -> None:
        secret, _ = store.add("shop", ["score"], "ann", NOW)

        class Moody(KeyStore):
            away = False

            def in_use(self) -> Any:
                if self.away:
                    raise StoreError("it is away")
                return store.in_use()

        moody = Moody("sqlite://")
        ring = KeyRing(lambda: moody)
        gated = Gate(Access(keys=True), ring).around(told)
        ring.refresh()
        moody.away = True
        ring.refresh()
        assert ring.trouble == "it is away"
        assert ask(gated, "POST", SCORE, headers={"x-api-key": secret}).status_code == 200
        moody.away = False
        ring.refresh()
        assert ring.trouble == ""

    def test_a_thread_follows_the_keys_in_the_lifespan(self, store: KeyStore) -> None:
        looked = threading.Semaphore(0)

        class Watched(KeyStore):
            def in_use(self) -> Any:
                looked.release()
                return store.in_use()

        secret, _ = store.add("shop", ["score"], "ann", NOW)
        ring = KeyRing(lambda: Watched("sqlite://"), seconds=0.01)
        gate = Gate(Access(keys=True), ring)
        states: list[object] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            states.append(ring.find(b"Bearer " + secret.encode()))
            assert looked.acquire(timeout=10)
            assert looked.acquire(timeout=10)

        asyncio.run(gate.around(app)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
        assert [getattr(holder, "name", None) for holder in states] == ["shop"]
        assert ring._thread is not None
        assert not ring._thread.is_alive()
