"""The OpenAPI documents: every route and refusal is in them, and the services keep to them.

Schemathesis makes requests out of the document, right ones and wrong ones, and compares every answer with
what the document says of it.
"""

import asyncio
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import CHECKS, load_all_checks
from starlette.routing import Route

from mlplatform.crosscutting.access import Access
from mlplatform.crosscutting.bus.memory import MemoryBus
from mlplatform.crosscutting.settings import Settings
from mlplatform.online import http, ingestion_http, preparation_server
from mlplatform.online.acceptor import Acceptor
from mlplatform.online.batch_http import BatchScores
from mlplatform.online.gate import Gate, Gated
from mlplatform.online.key_ring import KeyRing
from mlplatform.online.replies import ASGIApp
from mlplatform.online.scopes import OPEN, needed
from mlplatform.online.splits import Splits
from mlplatform.stores.keys import KeyStore
from mlplatform_tests.online.world import USE_CASE, World

FEW, MANY = 1, 25
"""Requests per operation."""


def scoring(world: World, gate: Gate | None = None) -> ASGIApp:
    releases = world.releases()
    releases.poll()
    batch = BatchScores(Settings.load({"MLPLATFORM_HOME": str(world.folder)}))
    splits = Splits(world.lake, lambda: 0)
    return http.application(releases, poll_seconds=0, splits=splits, batch_scores=batch, gate=gate)


def ingestion(_: World, gate: Gate | None = None) -> ASGIApp:
    return ingestion_http.application(Acceptor(MemoryBus(), {"u": ["clicks"]}), gate=gate)


def preparation(_: World, gate: Gate | None = None) -> ASGIApp:
    return preparation_server.application([], gate)


SERVICES = {"scoring": scoring, "ingestion": ingestion, "preparation": preparation}


def ask(app: ASGIApp, method: str, path: str, **more: Any) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path, **more)

    return asyncio.run(send())


def fastapi_of(app: Any) -> Any:
    """The FastAPI app at the heart of a service."""
    while not hasattr(app, "router"):
        app = app.app if isinstance(app, Gated) else app._otherwise
    return app


@pytest.fixture(scope="module", params=SERVICES)
def service(request: pytest.FixtureRequest, ready: World) -> ASGIApp:
    """Each service without keys."""
    return SERVICES[request.param](ready)


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, told)
        for path, methods in document["paths"].items()
        for method, told in methods.items()
    ]


def test_every_route_is_described(service: ASGIApp) -> None:
    described = ask(service, "GET", "/openapi.json").json()["paths"]
    for route in fastapi_of(service).routes:
        if isinstance(route, Route) and getattr(route, "include_in_schema", False):
            assert route.path in described
    for path, methods in described.items():
        for method in methods:
            filled = path.format(use_case="u", version="1", stream="s", prediction_id="p", id="i")
            assert ask(service, method, filled).status_code != 405, (method, path)


def test_every_operation_tells_its_refusals(service: ASGIApp) -> None:
    document = ask(service, "GET", "/openapi.json").json()
    assert document["components"]["schemas"]["Error"]["required"] == ["error"]
    assert "HTTPValidationError" not in str(document)
    for path, method, told in operations(document):
        assert told.get("summary") or told.get("description"), (path, method)
        answers = told["responses"]
        assert {"400", "414", "429", "431", "500"} <= set(answers), (path, method)
        assert "{" not in path or "404" in answers, (path, method)
        for status, answer in answers.items():
            if status >= "400":
                schema = answer["content"]["application/json"]["schema"]
                assert schema["$ref"].rpartition("/")[2] in ("Error", "NotReady"), (path, method, status)


@pytest.mark.parametrize("make", SERVICES.values(), ids=SERVICES)
def test_with_keys_the_document_names_the_scope_and_the_route_wants_it(make: Any, ready: World) -> None:
    with closing(KeyStore(f"sqlite:///{ready.folder / f'keys-{make.__name__}.sqlite'}")) as store:
        moment = datetime(2026, 1, 1, tzinfo=UTC)
        keys = {name: store.add(name, [name], "test", moment)[0] for name in ("score", "ingest", "admin")}
        ring = KeyRing(lambda: store)
        ring.refresh()
    app = make(ready, Gate(Access(keys=True), ring))
    document = ask(app, "GET", "/openapi.json", headers={"x-api-key": keys["score"]}).json()
    assert set(document["components"]["securitySchemes"]) == {"bearer", "key"}
    for path, method, told in operations(document):
        filled = path.format(use_case="u", version="1", stream="s", prediction_id="p", id="i")
        bare = ask(app, method, filled)
        if needed(path, method.upper()) == OPEN:
            assert bare.status_code != 401
            assert "security" not in told
            continue
        assert bare.status_code == 401
        assert told["security"] == [{"bearer": []}, {"key": []}]
        assert {"401", "403"} <= set(told["responses"])
        for name, key in keys.items():
            allowed = (
                f"`{name}`" in told["description"] or "Any key" in told["description"] or name == "admin"
            )
            answer = ask(app, method, filled, headers={"authorization": f"Bearer {key}"})
            assert (answer.status_code != 403) is allowed, (path, method, name)


load_all_checks()
NOT_CHECKED = {"positive_data_acceptance"}
"""What belongs together no schema says: a tensor's shape and its data, the days that are in the lake, how far
memory reaches back. So a body of the right types may be refused."""
KEPT = [CHECKS.get_one(name) for name in CHECKS.get_all_names() if name not in NOT_CHECKED]


def keeps_to_its_document(app: ASGIApp, examples: int) -> None:
    """Ask for each operation `examples` times, right and wrong; raises at the first breach."""
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    for found in schema.get_all_operations():
        operation = found.ok()
        wrong = schemathesis.GenerationMode.NEGATIVE
        cases = st.one_of(operation.as_strategy(), operation.as_strategy(generation_mode=wrong))

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        @given(case=cases, known=st.booleans())
        def one(case: schemathesis.Case, known: bool) -> None:
            if known and "use_case" in case.path_parameters and "repository" not in case.path:
                case.path_parameters["use_case"] = USE_CASE
            case.call_and_validate(checks=KEPT)

        one()


def test_it_keeps_to_its_document(service: ASGIApp) -> None:
    keeps_to_its_document(service, FEW)


@pytest.mark.slow
def test_it_keeps_to_its_document_however_it_is_asked(service: ASGIApp) -> None:
    keeps_to_its_document(service, MANY)
