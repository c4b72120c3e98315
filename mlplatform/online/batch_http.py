"""The routes `/batch-scores` of the scoring service: ask for batch scores, and look how far they are.

A request is queued here and scored by the batch scoring service, in another process. It must not score.

    POST /batch-scores         202, the request with its id; asked again with the same key, the same one
    GET  /batch-scores/{id}    the request as it stands
    GET  /batch-scores         the newest requests
"""

import logging
from collections.abc import Callable
from contextlib import closing
from typing import Any, TypeVar

import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import MlplatformError, NotFound, RequestError
from mlplatform.online.batch_telling import listed, shown
from mlplatform.online.replies import encode, read_body, sentence
from mlplatform.stores.batch_asking import Asked, ask
from mlplatform.stores.batch_requests import BatchRequest, BatchRequests
from mlplatform.stores.champions import ChampionStore

_LOG = logging.getLogger(__name__)
T = TypeVar("T")

CAP = 16 * 1024
"""Bytes of a request."""
MOST_SHOWN = 1000
_TAGS: list[Any] = ["batch scores"]
_DAY = {"type": "string", "format": "date"}
_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["use_case", "first", "last"],
                "additionalProperties": False,
                "properties": {
                    "use_case": {"type": "string"},
                    "first": _DAY,
                    "last": _DAY | {"description": "Included."},
                    "version": {"type": "integer", "description": "A release; left out: the champion."},
                    "callback": {"type": "string", "format": "uri", "description": "Told of the end."},
                    "key": {"type": "string", "description": "Asked twice with one key, it is one request."},
                },
            }
        }
    },
}
_REFUSED: dict[int | str, dict[str, Any]] = {
    400: {"description": "The body is not what is described"},
    404: {"description": "There is no such use case or version"},
    409: {"description": "The key was given with another request"},
    422: {"description": "The days, the callback or the key cannot be"},
}


class BatchScores:
    """The stores behind the routes, opened for each request: they are small, and need not be there yet."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def ask(self, body: bytes, key: str | None) -> BatchRequest:
        """Queue what a body asks for; `key` is that of the header, if there is one."""
        asked = _read(body)
        if key is not None:
            asked = msgspec.structs.replace(asked, key=key)

        def work(requests: BatchRequests) -> BatchRequest:
            with closing(ChampionStore(self._settings.state_url)) as champions:
                return ask(requests, champions, asked)

        return self._with(work, RequestError("no use case has a champion yet.", status=404))

    def get(self, id: str) -> BatchRequest:
        """A request as it stands."""
        unknown = RequestError(f"there is no request {id[:100]!r} for batch scores.", status=404)
        return self._with(lambda requests: requests.get(id), unknown)

    def newest(self, limit: int, use_case: str | None) -> list[BatchRequest]:
        """The newest requests."""
        if not self._settings.state_file_exists():
            return []
        return self._with(lambda requests: requests.newest(limit, use_case), None)

    def _with(self, work: Callable[[BatchRequests], T], absent: RequestError | None) -> T:
        if absent is not None and not self._settings.state_file_exists():
            raise absent
        try:
            with closing(BatchRequests(self._settings.state_url)) as requests:
                return work(requests)
        except RequestError:
            raise
        except NotFound as error:
            raise RequestError(sentence(error), status=404) from error
        except MlplatformError as error:
            raise RequestError(sentence(error), status=503) from error


def add_batch_scores(app: FastAPI, scores: BatchScores) -> None:
    """Answer `/batch-scores`."""

    @app.post(
        "/batch-scores",
        tags=_TAGS,
        summary="Score days in the background",
        status_code=202,
        responses=_REFUSED,
        openapi_extra={"requestBody": _BODY},
    )
    async def ask_for(request: Request) -> Response:
        body = await read_body(request.scope, request.receive, CAP)
        key = request.headers.get("idempotency-key")
        queued = await run_in_threadpool(scores.ask, body or b"", key)
        _LOG.info("batch scores are asked for", extra={"use_case": queued.use_case, "run_id": queued.id})
        where = {"location": f"/batch-scores/{queued.id}"}
        return Response(encode(shown(queued)), 202, where, media_type="application/json")

    # No coroutines: they are run in threads, so that scoring goes on meanwhile.
    @app.get("/batch-scores/{id}", tags=_TAGS, summary="How far a request is", responses={404: _REFUSED[404]})
    def look(id: str) -> Response:
        return Response(encode(shown(scores.get(id))), media_type="application/json")

    @app.get("/batch-scores", tags=_TAGS, summary="The newest requests", responses={400: _REFUSED[400]})
    def look_at_all(limit: str = "100", use_case: str | None = None) -> Response:
        found = scores.newest(_limit(limit), use_case)
        return Response(encode(listed(found)), media_type="application/json")


def _read(body: bytes) -> Asked:
    try:
        return msgspec.json.decode(body, type=Asked)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(
            f"the request cannot be read: {str(error)[:200]}.",
            hint='Send {"use_case": …, "first": "2013-11-01", "last": "2013-11-30"}.',
        ) from error


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MOST_SHOWN):
        raise RequestError(f"got limit {text[:100]!r}; allowed: a whole number from 1 to {MOST_SHOWN}.")
    return int(text)
