"""The Online Ingestion Service over HTTP: `POST /events/{stream}`, health and status.

An event is answered 202 only once the broker has it on disk. It must not parse events or call the bus;
`events.py` and `acceptor.py` do.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from importlib.metadata import version as installed
from typing import Any

import anyio
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from mlplatform.errors import RequestError
from mlplatform.online.acceptor import Acceptor
from mlplatform.online.archiver import Archiver
from mlplatform.online.documented import documented
from mlplatform.online.events import BODY_CAP, read_events
from mlplatform.online.gate import Gate
from mlplatform.online.metrics.families import INGESTION
from mlplatform.online.metrics.ingestion import DeadLetters, IngestionMetrics
from mlplatform.online.metrics.requests import Counted, Counts
from mlplatform.online.metrics.route import add_metrics
from mlplatform.online.refusals import add_refusals
from mlplatform.online.replies import ASGIApp, read_body

BODY_SECONDS = 30.0
"""How long a sender may take to send a body, which holds room meanwhile."""

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]

_NAME = {"type": "string", "minLength": 1, "maxLength": 200}
_EVENT = {
    "type": "object",
    "required": ["id", "time", "data"],
    "properties": {
        "id": _NAME | {"description": "Sent again, the event counts once (within 24 hours)."},
        "time": {"type": "string", "format": "date-time"},
        "subject": _NAME | {"description": "Events with one subject keep their order; also called `key`."},
        "data": {"type": "object"},
    },
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"oneOf": [_EVENT, {"type": "array", "items": _EVENT}]}},
            "application/cloudevents-batch+json": {"schema": {"type": "array", "items": _EVENT}},
            "application/x-ndjson": {"schema": _EVENT},
        },
    }
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    202: {"description": "Every event is durable at the broker"},
    400: {"description": "An event is wrong; none was accepted"},
    404: {"description": "There is no such stream"},
    413: {"description": "The body, an event or the number of events is too large"},
    429: {"description": "Too much at once; send it again after `Retry-After` seconds"},
    503: {"description": "The broker does not answer; send it again after `Retry-After` seconds"},
}


def application(
    acceptor: Acceptor,
    archivers: Sequence[Archiver] = (),
    *,
    lifespan: Lifespan | None = None,
    gate: Gate | None = None,
    letters: DeadLetters | None = None,
) -> ASGIApp:
    """The whole service; `archivers` are only looked at, whoever runs them gives `lifespan`.

    Its metrics tell of dead letters where `letters` counts them.
    """
    app = FastAPI(
        title="mlplatform ingestion", version=installed("mlplatform"), lifespan=lifespan, redoc_url=None
    )
    add_refusals(app)
    _add_events(app, acceptor)
    _add_health(app, acceptor, archivers)
    counts = Counts()
    metrics = IngestionMetrics(acceptor, archivers, counts, gate.refused if gate else {}, letters)
    add_metrics(app, INGESTION, metrics.collect)
    keys = gate is not None and gate.ring is not None
    app.openapi = lambda: documented(app, keys=keys)  # type: ignore[method-assign]
    return gate.around(Counted(app, counts)) if gate else Counted(app, counts)


def _add_events(app: FastAPI, acceptor: Acceptor) -> None:
    @app.post("/events/{stream}", status_code=202, responses=_ANSWERS, openapi_extra=_BODY, tags=["events"])
    async def events(stream: str, request: Request, use_case: str | None = None) -> Response:
        """Accept one event or many, all of them or none."""
        key = acceptor.find(stream, use_case)
        try:
            with acceptor.room(_length(request)):
                body = await _body(request)
                found = read_events(body, request.headers.get("content-type", ""))
                positions = await acceptor.accept(key, found)
        except RequestError:
            acceptor.refused[key] += 1
            raise
        return JSONResponse({"accepted": len(positions), "positions": positions}, 202)


def _length(request: Request) -> int:
    """Bytes that the body will take: as announced, else as many as it may have."""
    announced = request.headers.get("content-length", "")
    return min(int(announced[:20]), BODY_CAP) if announced.isdecimal() else BODY_CAP


async def _body(request: Request) -> bytes:
    try:
        with anyio.fail_after(BODY_SECONDS):
            body = await read_body(request.scope, request.receive, BODY_CAP)
    except TimeoutError as error:
        raise RequestError(f"the body did not come within {BODY_SECONDS:g} s.", status=408) from error
    if body is None:
        raise RequestError("the sender went away.")  # nobody reads this, but it is counted
    return body


def _add_health(app: FastAPI, acceptor: Acceptor, archivers: Sequence[Archiver]) -> None:
    @app.get("/health/live", tags=["health"], summary="The process answers")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @app.get("/health/ready", tags=["health"], summary="The broker answered when it was last asked")
    async def ready() -> JSONResponse:
        content = {"ready": is_ready(), "trouble": troubles()}
        return JSONResponse(content, 200 if content["ready"] else 503)

    @app.get("/v1/status", tags=["health"], summary="Each stream: how far it came, how far it is archived")
    async def status() -> dict[str, Any]:
        by_name = {archiver.use_case: archiver for archiver in archivers}
        use_cases = {
            name: {stream: _stream(acceptor, by_name.get(name), (name, stream)) for stream in streams}
            for name, streams in acceptor.streams.items()
        }
        return {"ready": is_ready(), "trouble": troubles(), "use_cases": use_cases}

    def is_ready() -> bool:
        return not acceptor.away and not any(archiver.bus_away for archiver in archivers)

    def troubles() -> dict[str, str]:
        return {archiver.use_case: archiver.trouble for archiver in archivers if archiver.trouble}


def _stream(acceptor: Acceptor, archiver: Archiver | None, key: tuple[str, str]) -> dict[str, int]:
    """What is known of a stream; positions are the bus's, which counts other messages as well.

    lag : newest less archived position, so at least the number of events accepted and not yet archived.
    """
    archived = archiver.archived.get(key[1], 0) if archiver else 0
    seen = archiver.seen.get(key[1], 0) if archiver else 0
    newest = max(acceptor.newest.get(key, 0), seen, archived)
    return {
        "newest": newest,
        "archived": archived,
        "lag": newest - archived,
        "in_flight": acceptor.waiting[key],
        "accepted": acceptor.accepted[key],
        "refused": acceptor.refused[key],
    }
