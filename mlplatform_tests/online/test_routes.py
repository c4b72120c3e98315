"""The routes over ASGI: answers, health, metadata, and what hostile bodies get."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import httpx
import pytest

from mlplatform.errors import ModelError
from mlplatform.online.http import application
from mlplatform.online.scoring_app import INFER_CAP, SCORE_CAP, ScoringApp
from mlplatform_tests.online.world import FEATURES, USE_CASE, Trained, World, facts_of

SCORE, MODEL = f"/score/{USE_CASE}", f"/v2/models/{USE_CASE}"


@pytest.fixture(scope="module")
def app(ready: World) -> ScoringApp:
    """The service with one release."""
    releases = ready.releases([USE_CASE, "later"])
    releases.poll()
    return application(releases, poll_seconds=0)


@pytest.fixture
def facts(trained: Trained) -> dict[str, Any]:
    """Facts of one order."""
    return facts_of(trained.frame.row(150, named=True))


def ask(app: ScoringApp, method: str, path: str, **more: Any) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, **more)

    return asyncio.run(send())


def one(**changed: Any) -> dict[str, Any]:
    tensor = {"name": "placed", "shape": [1], "datatype": "BYTES", "data": ["2024-03-05T12:00:00Z"]}
    return {"inputs": [{**tensor, **changed}]}


def test_a_score(app: ScoringApp, facts: dict[str, Any], trained: Trained) -> None:
    response = ask(app, "POST", SCORE, json=facts)
    body = response.json()
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert body["score"] == trained.scores[150]
    assert body["class"] is bool(trained.scores[150] >= 0.5)
    assert (body["model"], body["version"], body["digest"]) == ("lightgbm", 1, trained.candidate.digest)
    assert body["feature_set"].startswith("returns@")
    assert body["as_of"].endswith("Z")


def test_facts_may_be_left_out_but_not_the_time(app: ScoringApp, facts: dict[str, Any]) -> None:
    assert ask(app, "POST", SCORE, json={"placed": facts["placed"]}).status_code == 200
    del facts["placed"]
    response = ask(app, "POST", SCORE, json=facts)
    assert response.status_code == 400
    assert response.json() == {"error": "placed is missing; required: placed."}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"colour": 1}, "got a fact 'colour'; allowed: amount, country, express"),
        ({"amount": "5"}, "fact amount: Expected `int | null`, got `str`. Write a whole number"),
        ({"amount": 2**63}, "fact amount: Expected `int` <= 9223372036854775807"),
        ({"express": 1}, "fact express: Expected `bool | null`, got `int`. Write true or false."),
        ({"placed": None}, "fact placed: Expected `datetime`, got `null`. Write text: ISO 8601 with a time"),
        ({"placed": "2024-03-05T12:00:00"}, "timezone"),
        ({"placed": "2024-02-30T12:00:00Z"}, "Invalid RFC3339"),
        ({"placed": 1709640000}, "fact placed: Expected `datetime`, got `int`"),
        ({"placed": "0001-01-01T00:00:00Z"}, "cannot be computed"),
        ({"shop": ["a"]}, "fact shop: Expected `str | null`, got `array`"),
    ],
)
def test_wrong_facts(app: ScoringApp, facts: dict[str, Any], changed: dict[str, Any], told: str) -> None:
    response = ask(app, "POST", SCORE, json=facts | changed)
    assert response.status_code == 400
    assert told in response.json()["error"]


DEEP = 100_000
HOSTILE = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"x"',
    b"NaN",
    b"{} trailing",
    b"\xff\xfe{}",
    b"\xef\xbb\xbf{}",
    b'{"shop":"\xff\xfe"}',
    b'{"placed":"2024-03-05T12:00:00Z","shop":"\\ud800"}',
    b'{"placed":"2024-03-05T12:00:00Z","weight":NaN}',
    b'{"placed":"2024-03-05T12:00:00Z","weight":Infinity}',
    b'{"placed":"2024-03-05T12:00:00Z","weight":-Infinity}',
    b'{"placed":"2024-03-05T12:00:00Z","weight":1e999}',
    b'{"placed":"2024-03-05T12:00:00Z","weight":' + b"9" * 5000 + b"}",
    b'{"placed":"2024-03-05T12:00:00Z","amount":' + b"9" * 5000 + b"}",
    b'{"placed":"2024-03-05T12:00:00Z","amount":' + b"[" * DEEP,
    b'{"placed":"' + b"9" * 100_000 + b'"}',
    b'{"' + b"x" * 100_000 + b'":1}',
    b'{"' + "\U0001f600".encode() * 20_000 + b'":1}',
    b'{"\\u0000\\"\\\\' * 10 + b'":1}',
    b"[" * DEEP,
    b'{"a":' * 20_000,
    b'{"inputs":' + b"[" * DEEP,
    b'{"inputs":[{"name":"a","shape":[1],"datatype":"BYTES","data":' + b"[" * DEEP,
    b'{"parameters":' + b"[" * DEEP,
    b'{"inputs":[],"x":' + b'{"a":' * 20_000,
    b'{"inputs":[{"name":"a","shape":[1],"datatype":"FP64","data":[NaN]}]}',
    b'{"inputs":[{"name":"a","shape":[1],"datatype":"FP64","data":[1e999]}]}',
    b'{"inputs":[{"name":"' + b"y" * 100_000 + b'","shape":[1],"datatype":"BYTES","data":["a"]}]}',
    b'{"inputs":[{"name":"placed","shape":[1],"datatype":"' + b"y" * 100_000 + b'","data":["a"]}]}',
    b'{"inputs":[{"name":"placed","shape":[' + b"9," * 50_000 + b'9],"datatype":"BYTES","data":["a"]}]}',
    b'{"inputs":[{"name":"placed","shape":[1],"datatype":"BYTES","data":["' + b"z" * 100_000 + b'"]}]}',
    b'{"id":"' + b"i" * 100_000 + b'","inputs":[]}',
    b"x" * (SCORE_CAP + 1),
    b"x" * (INFER_CAP + 1),
]


@pytest.mark.parametrize("path", [SCORE, f"{MODEL}/infer"])
@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_bodies_get_a_short_refusal(app: ScoringApp, path: str, body: bytes) -> None:
    response = ask(app, "POST", path, content=body)
    assert 400 <= response.status_code < 500
    assert len(response.content) <= 2000
    error = response.json()["error"]
    assert error
    assert not any(c * 101 in error for c in "xyzi9")


@pytest.mark.parametrize(("path", "cap"), [(SCORE, SCORE_CAP), (f"{MODEL}/infer", INFER_CAP)])
def test_a_long_body_is_refused_before_it_is_read(app: ScoringApp, path: str, cap: int) -> None:
    assert ask(app, "POST", path, content=b" " * (cap + 1)).status_code == 413
    assert ask(app, "POST", path, content=b" " * cap).status_code == 400

    async def endless() -> tuple[int, int]:
        read = 0

        async def receive() -> dict[str, Any]:
            nonlocal read
            read += 65536
            return {"type": "http.request", "body": b" " * 65536, "more_body": True}

        return await called(app, path, receive), read

    status, read = asyncio.run(endless())
    assert status == 413
    assert read <= cap + 65536


def test_a_body_in_parts_is_put_together(app: ScoringApp, facts: dict[str, Any]) -> None:
    whole = json.dumps(facts).encode()
    parts = [whole[:7], b"", whole[7:50], whole[50:]]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    assert asyncio.run(called(app, SCORE, receive)) == 200


def test_a_caller_who_left_gets_nothing(app: ScoringApp) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    assert asyncio.run(called(app, SCORE, receive)) == 0


async def called(app: ScoringApp, path: str, receive: Callable[[], Awaitable[dict[str, Any]]]) -> int:
    """Status of a POST whose body `receive` gives; 0 if nothing was sent."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "headers": []}
    await app(scope, receive, send)
    return sent[0]["status"] if sent else 0


def test_a_fact_that_is_there_twice_is_refused(app: ScoringApp) -> None:
    body = b'{"placed":"2024-03-05T12:00:00Z","amount":1,"amount":7}'
    response = ask(app, "POST", SCORE, content=body)
    assert response.status_code == 400
    assert response.json() == {"error": "got the key 'amount' twice; allowed: once. Leave one out."}


@pytest.mark.parametrize(
    "path", ["/score/nothing", "/score/", f"{SCORE}/more", "/score/" + "x" * 5000, "/score/%00"]
)
def test_unknown_use_cases(app: ScoringApp, path: str) -> None:
    response = ask(app, "POST", path, content=b"{}")
    assert response.status_code == 404
    assert "known: returns, later" in response.json()["error"]
    assert len(response.content) < 400


def test_a_use_case_without_a_champion(app: ScoringApp) -> None:
    for method, path in (
        ("POST", "/score/later"),
        ("POST", "/v2/models/later/infer"),
        ("GET", "/v2/models/later"),
    ):
        response = ask(app, method, path, json=one())
        assert response.status_code == 503
        assert "Run `mlplatform run later`" in response.json()["error"]


@pytest.mark.parametrize("path", [SCORE, f"{MODEL}/infer"])
def test_other_methods_are_not_allowed(app: ScoringApp, path: str) -> None:
    response = ask(app, "GET", path)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert response.json() == {"error": "got GET; allowed: POST."}


def test_an_infer_answer(app: ScoringApp) -> None:
    response = ask(app, "POST", f"{MODEL}/versions/1/infer", json={"id": "abc", **one()})
    body = response.json()
    assert response.status_code == 200
    assert (body["model_name"], body["model_version"], body["id"]) == (USE_CASE, "1", "abc")
    assert body["parameters"]["feature_set"].startswith("returns@")
    shapes = {o["name"]: (o["datatype"], o["shape"], len(o["data"])) for o in body["outputs"]}
    assert shapes == {
        "probability": ("FP64", [1], 1),
        "class": ("BOOL", [1], 1),
        "prediction_id": ("BYTES", [1], 1),
    }
    alone = ask(app, "POST", SCORE, json={"placed": "2024-03-05T12:00:00Z"}).json()
    assert body["outputs"][0]["data"] == [alone["score"]]


def test_an_infer_answer_without_id_and_with_one_output(app: ScoringApp) -> None:
    asked = {**one(), "outputs": [{"name": "class"}], "parameters": {"priority": 1}}
    first, second = (ask(app, "POST", f"{MODEL}/infer", json=asked).json() for _ in range(2))
    assert [output["name"] for output in first["outputs"]] == ["class"]
    assert len(first["id"]) == 32
    assert first["id"] != second["id"]


FEATURE = {"name": "features", "shape": [1, 17], "datatype": "FP64", "data": [None] * 17}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"inputs": []}, "got 0 inputs"),
        ({"inputs": one()["inputs"] * 2}, "got 2 inputs of 1 names"),
        (one(name="colour"), "got input 'colour'; allowed: amount"),
        (one(name="shop", data=["a"]), "input 'placed' is missing"),
        (one(datatype="INT64"), "got datatype 'INT64'; allowed: BYTES"),
        (one(shape=[]), "allowed: 1 to 1000 rows"),
        (one(shape=[0], data=[]), "allowed: 1 to 1000 rows"),
        (one(shape=[-1]), "allowed: 1 to 1000 rows"),
        (one(shape=[1001]), "allowed: 1 to 1000 rows"),
        (one(shape=[1, 2]), "allowed: [rows] or [rows, 1]"),
        (one(shape=[2]), "does not fill the shape [2]"),
        (one(data=["2024-03-05T12:00:00Z", ["x"]]), "does not fill the shape"),
        (one(data=[["2024-03-05T12:00:00Z", "x"]]), "does not fill the shape"),
        (one(data=[None]), "fact 'placed': Expected `datetime`, got `null` in row 0"),
        (one(data=["0001-01-01T00:00:00Z"]), "row 0: the features cannot be computed"),
        ({**one(), "outputs": [{"name": "logit"}]}, "got output 'logit'; allowed: probability, class"),
        ({**one(), "id": 5}, "Expected `str | null`, got `int` - at `$.id`"),
        ({"inputs": [{**FEATURE, "shape": [1, 16], "data": [None] * 16}]}, "allowed: [rows, 17]"),
        ({"inputs": [{**FEATURE, "datatype": "INT64"}]}, "allowed: FP64"),
        ({"inputs": [{**FEATURE, "data": [None] * 16}]}, "does not fill"),
        ({"inputs": [{**FEATURE, "data": ["a"] * 17}]}, "Expected `float | null`, got `str`"),
        ({"inputs": [FEATURE, *one()["inputs"]]}, "must be the only one"),
    ],
)
def test_tensors_that_do_not_fit(app: ScoringApp, body: dict[str, Any], told: str) -> None:
    response = ask(app, "POST", f"{MODEL}/infer", json=body)
    assert response.status_code == 400
    assert told in response.json()["error"]


def test_columns_of_different_length(app: ScoringApp) -> None:
    two = {"name": "amount", "shape": [2], "datatype": "INT64", "data": [1, 2]}
    response = ask(app, "POST", f"{MODEL}/infer", json={"inputs": [*one()["inputs"], two]})
    assert response.json() == {"error": "got inputs of 1 and 2 rows; all must be the same."}


def test_another_version_is_not_found(app: ScoringApp) -> None:
    for path in ("infer", "", "ready"):
        method = "POST" if path == "infer" else "GET"
        response = ask(app, method, f"{MODEL}/versions/7/{path}".rstrip("/"), json=one())
        assert response.status_code == 404
        assert response.json()["error"] == "got version '7' of 'returns'; in use: 1."
    for path in ("/versions//infer", "/versions/1/x/infer", "/versions/1/versions/1/infer"):
        assert ask(app, "POST", f"{MODEL}{path}", json=one()).status_code == 404
    assert ask(app, "GET", "/v2/models/infer").status_code == 404


def test_health(app: ScoringApp) -> None:
    for path in ("/health/live", "/v2/health/live"):
        assert ask(app, "GET", path).json() == {"live": True}
    assert ask(app, "GET", "/v2/health/ready").json() == {"ready": True}
    body = ask(app, "GET", "/health/ready").json()
    assert (body["ready"], body["serving"]) == (True, {USE_CASE: 1})
    assert "No champion" in body["problems"]["later"]


def test_health_before_anything_is_there(tmp_path: Any) -> None:
    releases = World(tmp_path).releases([])
    releases.poll()
    app = application(releases, poll_seconds=0)
    assert ask(app, "GET", "/health/live").status_code == 200
    assert ask(app, "GET", "/v2/health/ready").json() == {"ready": False}
    response = ask(app, "GET", "/health/ready")
    assert response.status_code == 503
    assert "Run `mlplatform run`" in response.json()["trouble"]
    assert ask(app, "GET", "/v1/status").json() == {"ready": False, "trouble": "", "use_cases": {}}


def test_metadata_lists_the_schema_of_the_release(app: ScoringApp, trained: Trained) -> None:
    for path in (MODEL, f"{MODEL}/versions/1"):
        body = ask(app, "GET", path).json()
        assert (body["name"], body["versions"], body["platform"]) == (USE_CASE, ["1"], "mlplatform_lightgbm")
        assert [i["name"] for i in body["inputs"]] == sorted(FEATURES.spine.facts)
        assert body["inputs"][0] == {"name": "amount", "datatype": "INT64", "shape": [-1]}
        assert [o["name"] for o in body["outputs"]] == ["probability", "class", "prediction_id"]
        assert body["parameters"]["features"] == list(FEATURES.names)
        assert body["parameters"]["categories"] == {"shop": ["a", "b", "d", "ü"]}
    for path in ("/v2", "/v2/"):
        assert ask(app, "GET", path).json()["name"] == "mlplatform"
    assert ask(app, "GET", f"{MODEL}/ready").json() == {"name": USE_CASE, "ready": True}
    assert ask(app, "GET", "/v2/models/later/ready").status_code == 503


def test_status_says_what_is_in_use_and_in_memory(app: ScoringApp, trained: Trained) -> None:
    body = ask(app, "GET", "/v1/status").json()
    used = body["use_cases"][USE_CASE]
    assert (used["ready"], used["version"], used["digest"]) == (True, 1, trained.candidate.digest)
    assert used["memory"]["newest"] == "2024-03-06"
    assert used["memory"]["rows"]["placed"] == trained.frame.height
    assert body["use_cases"]["later"] == {"ready": False, "problem": body["use_cases"]["later"]["problem"]}


def test_a_defect_is_an_error_of_ours_that_the_log_has(
    ready: World, facts: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(row: Sequence[float]) -> float:
        raise ModelError("the library refused")

    def defect(row: Sequence[float]) -> float:
        raise RuntimeError("secret")

    releases = ready.releases()
    releases.poll()
    app, version = application(releases, poll_seconds=0), releases.current[USE_CASE].champion
    for score_row, logged in ((refuse, "the library refused"), (defect, "secret")):
        caplog.clear()
        version.bundle = replace(version.bundle, score_row=score_row)
        version.breaker.is_open = False
        response = ask(app, "POST", SCORE, json=facts)
        assert response.status_code == 503
        assert "no link of the chain could answer" in response.json()["error"]
        assert logged not in response.text
        app = application(releases, poll_seconds=0)
        assert logged in caplog.text


def test_other_paths_get_an_error_in_the_same_form(app: ScoringApp) -> None:
    for method, path, status in (
        ("GET", "/nothing", 404),
        ("POST", "/v2", 405),
        ("GET", "/v2/models/x", 404),
    ):
        response = ask(app, method, path)
        assert response.status_code == status
        assert list(response.json()) == ["error"]


def test_the_documentation_describes_the_scoring_routes(app: ScoringApp) -> None:
    paths = ask(app, "GET", "/openapi.json").json()["paths"]
    assert {"/score/{use_case}", "/v2/models/{use_case}/infer", "/health/ready", "/v1/status"} <= set(paths)
    content = paths["/score/{use_case}"]["post"]["requestBody"]["content"]["application/json"]
    assert list(content["schema"]["anyOf"][0]["anyOf"][0]["properties"]) == sorted(FEATURES.spine.facts)
    assert ask(app, "GET", "/docs").status_code == 200
