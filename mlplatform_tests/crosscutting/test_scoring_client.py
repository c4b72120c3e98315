"""The client of the scoring service against small services of its own kind."""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import pytest

from mlplatform.crosscutting.scoring_client import ScoringClient
from mlplatform.errors import MlplatformError, RequestError, ServiceError


def client(answer: Callable[[httpx.Request], httpx.Response]) -> ScoringClient:
    return ScoringClient("http://127.0.0.1:8080/", transport=httpx.MockTransport(answer))


def always(status: int, body: Any) -> ScoringClient:
    return client(lambda request: httpx.Response(status, json=body))


def test_facts_go_out_as_json() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"score": 0.1 + 0.2})

    facts = {"at": datetime(2024, 3, 1, tzinfo=UTC), "n": None, "x": 0.1}
    assert client(answer).score("a b", facts) == {"score": 0.1 + 0.2}
    assert str(seen[0].url) == "http://127.0.0.1:8080/score/a%20b"
    assert msgspec.json.decode(seen[0].content) == {"at": "2024-03-01T00:00:00Z", "n": None, "x": 0.1}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, datetime(2024, 3, 1)])
def test_values_that_would_change_on_the_way_are_refused(value: Any) -> None:
    with pytest.raises(RequestError, match="fact 'x' is"):
        always(200, {}).score("a", {"x": value})


@pytest.mark.parametrize(
    ("status", "kind"), [(400, RequestError), (404, RequestError), (500, ServiceError), (503, ServiceError)]
)
def test_refusals_are_typed(status: int, kind: type[MlplatformError]) -> None:
    with pytest.raises(kind, match="no such fact") as caught:
        always(status, {"error": "no such fact"}).score("a", {})
    assert getattr(caught.value, "status", status) == status


def test_a_service_that_is_not_there() -> None:
    silent = ScoringClient("http://127.0.0.1:1")
    with pytest.raises(ServiceError, match=r"nothing answers at http://127\.0\.0\.1:1") as caught:
        silent.score("a", {})
    assert "`mlplatform up` or `mlplatform serve`" in caught.value.hint
    assert not silent.is_ready()


def test_a_service_that_is_too_slow() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow", request=request)

    with pytest.raises(ServiceError, match="did not answer in time"):
        client(answer).status()


def test_something_else_on_the_port() -> None:
    with pytest.raises(ServiceError, match="no scoring service: status 200, no JSON"):
        client(lambda request: httpx.Response(200, html="<html>")).status()


def test_readiness() -> None:
    ready = always(200, {"ready": True, "serving": {"a": 3}, "trouble": "", "problems": {"b": "Damaged."}})
    assert ready.ready() == "a version 3; Damaged."
    assert ready.is_ready()
    missing = always(503, {"ready": False, "trouble": "", "problems": {"a": "No champion."}})
    assert not missing.is_ready()
    with pytest.raises(ServiceError, match=r"no release in use yet\. No champion\."):
        missing.ready()


def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with pytest.raises(ServiceError, match="refused"):
        ScoringClient("http://127.0.0.1:1").status()
