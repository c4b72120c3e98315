"""The protocol's routes beside infer: the repository, statistics, what is named and what is not there."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from mlplatform.online.http import application
from mlplatform.online.replies import ASGIApp
from mlplatform_tests.online.world import FEATURES, USE_CASE, World

MODEL, CHANGE = f"/v2/models/{USE_CASE}", f"/v2/repository/models/{USE_CASE}"


@pytest.fixture(scope="module")
def app(three: World) -> Iterator[ASGIApp]:
    """The service with three releases, of which the first is not loaded, and a use case that has none."""
    releases = three.releases([USE_CASE, "later"])
    releases.poll()
    yield application(releases, poll_seconds=0)
    releases.stop()


def ask(app: ASGIApp, method: str, path: str, **more: Any) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, **more)

    return asyncio.run(send())


def index(app: ASGIApp, **more: Any) -> dict[tuple[str, str], str]:
    """State by model and version."""
    told = ask(app, "POST", "/v2/repository/index", **more).json()
    return {(each["name"], each["version"]): each["state"] for each in told}


def row() -> dict[str, Any]:
    """A request of one row of missing features."""
    width = len(FEATURES.names)
    tensor = {"name": "features", "shape": [1, width], "datatype": "FP64", "data": [None] * width}
    return {"inputs": [tensor]}


def test_the_index(app: ASGIApp) -> None:
    ready = {(USE_CASE, "2"): "READY", (USE_CASE, "3"): "READY"}
    assert index(app) == index(app, json={"ready": False}) == {**ready, ("later", ""): "UNAVAILABLE"}
    assert index(app, json={"ready": True}) == ready
    (absent,) = [each for each in ask(app, "POST", "/v2/repository/index").json() if each["name"] == "later"]
    assert "Run `mlplatform run later`" in absent["reason"]


@pytest.mark.parametrize("named", [{"json": {"parameters": {"version": 1}}}, {"params": {"version": "1"}}])
def test_a_version_is_loaded_asked_and_let_go(app: ASGIApp, named: dict[str, Any]) -> None:
    infer = f"{MODEL}/versions/1/infer"
    assert ask(app, "POST", infer, json=row()).status_code == 404
    assert ask(app, "POST", f"{CHANGE}/load", **named).status_code == 200
    assert ask(app, "POST", f"{CHANGE}/load", **named).status_code == 200
    assert index(app)[USE_CASE, "1"] == "READY"
    answer = ask(app, "POST", infer, json=row()).json()
    assert (answer["model_version"], answer["parameters"]["link"]) == ("1", "asked")
    assert answer["parameters"]["model"] == "logistic_regression"
    assert ask(app, "GET", MODEL).json()["versions"] == ["1", "2", "3"]
    assert ask(app, "GET", f"{MODEL}/versions/1").json()["platform"] == "mlplatform_logistic_regression"
    assert ask(app, "POST", f"{CHANGE}/unload", **named).status_code == 200
    assert (USE_CASE, "1") not in index(app)
    assert ask(app, "POST", infer, json=row()).status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "status", "told"),
    [
        (f"{CHANGE}/load", b"", 200, ""),
        (f"{CHANGE}/load", b"{}", 200, ""),
        (f"{CHANGE}/load?version=99", b"", 404, "99"),
        (f"{CHANGE}/load?version=x", b"", 400, "got version 'x'; allowed: the number of a release"),
        (f"{CHANGE}/load?version=", b"", 400, "got version ''"),
        (f"{CHANGE}/load?version={'9' * 5000}", b"", 400, "got version '999"),
        (f"{CHANGE}/load?version=²", b"", 400, "got version"),
        (f"{CHANGE}/load", b'{"parameters":{"version":"1"}}', 400, "Expected `int | null`, got `str`"),
        (f"{CHANGE}/load", b'{"parameters":{"version":0}}', 400, "Expected `int` >= 1"),
        (f"{CHANGE}/load", b'{"parameters":{"config":"{}"}}', 400, "got a config"),
        (f"{CHANGE}/load", b"[" * 50_000, 400, "Expected `object`"),
        (f"{CHANGE}/load", b"\xff", 400, "the body is not JSON"),
        (f"{CHANGE}/load", b" " * 65_537, 413, "longer than 64 KiB"),
        ("/v2/repository/models/later/load", b"", 503, "Run `mlplatform run later`"),
        ("/v2/repository/models/nothing/load", b"", 404, "got model 'nothing'; known: returns, later"),
        (f"{CHANGE}/unload", b"", 409, "the champion of 'returns' stays loaded"),
        (f"{CHANGE}/unload?version=3", b"", 409, "has a role"),
        (f"{CHANGE}/unload?version=2", b"", 409, "has a role"),
        (f"{CHANGE}/unload?version=1", b"", 404, "is not loaded"),
        ("/v2/repository/models/nothing/unload", b"", 404, "got model 'nothing'"),
        ("/v2/repository/index", b'{"ready":"yes"}', 400, "Expected `bool`, got `str`"),
        ("/v2/repository/index", b"no", 400, "the body is not JSON"),
    ],
)
def test_repository_requests(app: ASGIApp, path: str, body: bytes, status: int, told: str) -> None:
    response = ask(app, "POST", path, content=body)
    assert response.status_code == status
    assert told in (response.json()["error"] if status != 200 else "")
    assert len(response.content) < 500


def test_statistics_count_rows_requests_and_refusals(app: ASGIApp) -> None:
    def told(path: str = f"{MODEL}/versions/3/stats") -> list[dict[str, Any]]:
        stats: list[dict[str, Any]] = ask(app, "GET", path).json()["model_stats"]
        return stats

    (before,) = told()
    two = row()
    two["inputs"][0] |= {"shape": [2, len(FEATURES.names)], "data": [None] * 2 * len(FEATURES.names)}
    assert ask(app, "POST", f"{MODEL}/infer", json=two).status_code == 200
    for path in (f"{MODEL}/infer", f"{MODEL}/versions/03/infer"):
        assert ask(app, "POST", path, json={"inputs": []}).status_code == 400
    for path in (f"{MODEL}/versions/77/infer", "/v2/models/nothing/infer"):
        assert ask(app, "POST", path, json=two).status_code == 404
    (after,) = told()
    assert after["inference_count"] == before["inference_count"] + 2
    assert after["execution_count"] == before["execution_count"] + 1
    counted, earlier = after["inference_stats"], before["inference_stats"]
    assert counted["fail"]["count"] == earlier["fail"]["count"] + 2
    parts = [counted[f"compute_{part}"]["ns"] for part in ("input", "infer", "output")]
    assert all(parts)
    assert sum(parts) == counted["success"]["ns"]
    assert after["last_inference"] > 1_700_000_000_000
    assert [each["version"] for each in told(f"{MODEL}/stats")] == ["2", "3"]
    assert told("/v2/models/stats") == told(f"{MODEL}/stats")
    assert ask(app, "GET", "/v2/models/nothing/stats").status_code == 404


def test_what_is_named_and_what_is_not_there(app: ASGIApp) -> None:
    assert ask(app, "GET", "/v2").json()["extensions"] == [
        "binary_tensor_data",
        "model_repository",
        "statistics",
    ]
    for path in ("/config", "/versions/3/config"):
        response = ask(app, "GET", f"{MODEL}{path}")
        assert response.status_code == 404
        assert "no model configuration" in response.json()["error"]
    assert ask(app, "GET", "/v2/models/nothing/config").status_code == 404
    missing = ask(app, "GET", MODEL).json()["parameters"]["missing"]
    assert missing["json"] == "null"
    assert missing["binary"].startswith("NaN")


def test_an_answer_says_which_link_gave_it(app: ASGIApp) -> None:
    asked = {
        "inputs": [{"name": "placed", "shape": [1], "datatype": "BYTES", "data": ["2024-03-05T12:00:00Z"]}]
    }
    told = ask(app, "POST", f"{MODEL}/infer", content=json.dumps(asked)).json()["parameters"]
    assert told["link"] == "champion"
    assert told["features_age_s"] >= 0
    ready_made = ask(app, "POST", f"{MODEL}/infer", json=row()).json()["parameters"]
    assert "features_age_s" not in ready_made
