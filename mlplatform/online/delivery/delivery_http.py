"""The routes of delivery: look a score up, listen to all; and how OpenAPI describes them.

A score that is in memory is answered before FastAPI sees the request. It must not keep or look up scores.
"""

import asyncio
import re
from collections.abc import Callable, Collection
from typing import Any

import anyio
import anyio.to_thread
import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse
from starlette.types import Receive as StarletteReceive
from starlette.types import Scope as StarletteScope
from starlette.types import Send as StarletteSend

from mlplatform.errors import MlplatformError, RequestError
from mlplatform.online.delivery.broadcast import Listener
from mlplatform.online.delivery.delivery import Delivery
from mlplatform.online.delivery.recent import Recent
from mlplatform.online.replies import ASGIApp, Receive, Scope, Send, send_json, sentence, shown

LOOKUPS, WAITING = 2, 32
"""Look-ups in the lake at once, and those that may wait."""
STALLED = 30.0
"""Seconds after which a listener that takes nothing is let go of."""
_SCORES = "/scores/"
_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_JSON = "application/json"
_EVENTS = "text/event-stream"

_FOUND: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer. Out of the lake it has `stored_in`, `facts` and what its table has.",
        "content": {_JSON: {"schema": {"type": "object"}}},
    },
    404: {"description": "There is no such score, or it is not in the lake yet"},
    503: {"description": "Too many look-ups at once"},
}
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events `score` (id: the prediction id, data: the answer), `dropped` (data: how many "
        "this listener was too slow for), and comments while nothing comes.",
        "content": {_EVENTS: {"schema": {"type": "string"}}},
    },
    404: {"description": "There is no such use case"},
    503: {"description": "Too many listen already"},
}
_LAST = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "Begin behind this answer, if it is still in memory.",
    "schema": {"type": "string"},
}
CALLBACK: dict[str, Any] = {
    "name": "callback",
    "in": "query",
    "description": "Push the answer to this URL, signed as by the Standard Webhooks specification, instead "
    "of giving it here. It must begin with one of MLPLATFORM_WEBHOOK_TARGETS.",
    "schema": {"type": "string", "format": "uri"},
}
"""The parameter of `POST /score/{use_case}` in OpenAPI."""
PROMISED: dict[str, Any] = {
    "description": "The answer is pushed to the callback, and can be looked up at `url`.",
    "content": {
        _JSON: {
            "schema": {
                "type": "object",
                "required": ["prediction_id", "url"],
                "properties": {
                    "prediction_id": {"type": "string", "description": "Also the header `webhook-id`."},
                    "url": {"type": "string", "description": "Path of `GET /scores/{prediction_id}`."},
                    "prediction_ids": {
                        "type": "array",
                        "items": {"type": "string"},
                        "description": "Of a list or a forecast: those of its rows, in their order.",
                    },
                },
            }
        }
    },
}
"""The answer 202 of `POST /score/{use_case}` in OpenAPI."""


class RecentFirst:
    """An ASGI application: looks scores up in memory, and leaves everything else to `otherwise`."""

    def __init__(self, recent: Recent, otherwise: ASGIApp) -> None:
        self._recent, self._otherwise = recent, otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["method"] == "GET" and scope["path"].startswith(_SCORES):
            body = self._recent.get(scope["path"][len(_SCORES) :])
            if body is not None:
                await send_json(send, 200, body)
                return
        await self._otherwise(scope, receive, send)


def add_delivery(app: FastAPI, delivery: Delivery, known: Callable[[], Collection[str]]) -> None:
    """Answer the routes of delivery that `RecentFirst` leaves; `known` gives the use cases there are."""
    threads = anyio.CapacityLimiter(LOOKUPS)

    @app.get("/scores/{prediction_id}", tags=["delivery"], summary="Look a score up", responses=_FOUND)
    async def score(prediction_id: str) -> Response:
        if not _ID.fullmatch(prediction_id):
            raise _absent(prediction_id)
        if threads.statistics().tasks_waiting >= WAITING:
            raise RequestError(f"{WAITING} look-ups wait.", status=503, hint="Ask again in a second.")
        try:
            found = await anyio.to_thread.run_sync(delivery.stored.find, prediction_id, limiter=threads)
        except RequestError:
            raise
        except MlplatformError as error:
            raise RequestError(sentence(error), status=500) from error
        if found is None:
            raise _absent(prediction_id)
        return Response(msgspec.json.encode(found), media_type=_JSON)

    @app.get(
        "/scores/stream/{use_case}",
        tags=["delivery"],
        summary="Every answer from now on, as server-sent events",
        responses=_STREAM,
        openapi_extra={"parameters": [_LAST]},
    )
    async def stream(use_case: str, request: Request) -> Response:
        names = known()
        if use_case not in names:
            raise RequestError(
                f"got use case {shown(use_case)}; known: {', '.join(sorted(names)) or 'none yet'}.",
                status=404,
            )
        return EventStream(delivery.broadcast.join(use_case, request.headers.get("last-event-id")))


class EventStream(StreamingResponse):
    """The events of one listener, until it goes away, takes nothing for long, or the broadcast ends."""

    def __init__(self, listener: Listener) -> None:
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}  # no proxy may hold events back
        super().__init__(listener.events(), headers=headers, media_type=_EVENTS)
        self._listener = listener

    async def __call__(self, scope: StarletteScope, receive: StarletteReceive, send: StarletteSend) -> None:
        """Send them."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._listener.leave()

    async def stream_response(self, send: StarletteSend) -> None:
        """The same with a limit to how long one write may take."""

        async def patiently(message: Any) -> None:
            async with asyncio.timeout(STALLED):
                await send(message)

        try:
            await super().stream_response(patiently)
        except TimeoutError:
            return  # the server closes a connection whose answer is not complete


def _absent(id: str) -> RequestError:
    return RequestError(
        f"got prediction id {shown(id)}; no score with it is in memory or in the lake.",
        status=404,
        hint="An id has 32 hexadecimal digits. Answers are written to the lake within about 10 seconds.",
    )
