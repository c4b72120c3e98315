"""The two scoring routes as one plain ASGI callable, in front of the app that answers everything else.

FastAPI's own route machinery costs more than the model does, so the hot path goes without it; `openapi.py`
describes these routes for the documentation. It must not compute scores.

    POST /score/{use_case}                              one row's facts as a JSON object, or a list of them
    POST /v2/models/{use_case}[/versions/{v}]/infer     Open Inference Protocol V2
"""

from contextlib import suppress
from time import perf_counter_ns as clock
from urllib.parse import parse_qs

from mlplatform.errors import MlplatformError, RequestError
from mlplatform.online import inference
from mlplatform.online.compression import unpacked
from mlplatform.online.delivery.callbacks import Callbacks
from mlplatform.online.inference import InferRequest
from mlplatform.online.metrics import requests
from mlplatform.online.metrics.requests import GONE, Counted, Counts
from mlplatform.online.replies import (
    JSON_LENGTH,
    ASGIApp,
    Receive,
    Scope,
    Send,
    encode,
    error_body,
    read_body,
    send_json,
    send_tensors,
    shown,
)
from mlplatform.online.service import ScoringService
from mlplatform.online.statistics import Statistics
from mlplatform.stages.scoring.score import Answer, Listing

SCORE_CAP = 256 * 1024
INFER_CAP = 4 * 1024 * 1024
"""Bytes of a body: 1,000 rows of 200 ready-made features fit."""

_SCORE, _MODELS, _INFER = "/score/", "/v2/models/", "/infer"


class ScoringApp:
    """An ASGI application: scoring here, the rest in `otherwise`."""

    def __init__(
        self,
        service: ScoringService,
        otherwise: ASGIApp,
        statistics: Statistics | None = None,
        callbacks: Callbacks | None = None,
        counts: Counts | None = None,
    ) -> None:
        self.counts = Counts() if counts is None else counts
        """Requests by route and status."""
        self._service, self._otherwise, self._callbacks = service, Counted(otherwise, self.counts), callbacks
        self._statistics = statistics or Statistics()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path: str = scope["path"] if scope["type"] == "http" else ""
        if path.startswith(_SCORE) or (path.startswith(_MODELS) and path.endswith(_INFER, len(_MODELS))):
            route, status = (requests.SCORE if path.startswith(_SCORE) else requests.INFER), 500
            try:
                status = await self._answer(path, scope, receive, send)
            finally:
                self.counts[route, status] += 1
        else:
            await self._otherwise(scope, receive, send)

    async def _answer(self, path: str, scope: Scope, receive: Receive, send: Send) -> int:
        """The status that was answered; 499 where the caller went away."""
        json_length: int | None = None
        try:
            if scope["method"] != "POST":
                raise RequestError(f"got {scope['method'][:20]}; allowed: POST.", status=405)
            if path.startswith(_SCORE):
                body = await read_body(scope, receive, SCORE_CAP)
                if body is None:
                    return GONE
                use_case, query = path[len(_SCORE) :], scope.get("query_string", b"")
                if query and (promise := await self._promised(use_case, query, body)) is not None:
                    await send_json(send, 202, promise)
                    return 202
                answer = encode(await self._service.score_json(use_case, body, _version(query)))
            else:
                body = await read_body(scope, receive, INFER_CAP)
                if body is None:
                    return GONE
                answer, json_length = await self._infer(path, scope, body)
        except RequestError as error:
            await send_json(send, error.status, error_body(error))
            return error.status
        except MlplatformError as error:
            await send_json(send, 500, error_body(error))
            return 500
        except Exception:
            await send_json(send, 500, encode({"error": "an internal error; the server's log has it"}))
            raise
        else:
            if json_length is None:
                await send_json(send, 200, answer)
            else:
                await send_tensors(send, answer, json_length)
            return 200

    async def _promised(self, use_case: str, query: bytes, body: bytes) -> bytes | None:
        """The promise of an answer that is pushed; None where none is asked for."""
        if self._callbacks is None:
            return None

        async def ask(rest: bytes) -> Answer | Listing | list[Answer]:
            return await self._service.score_json(use_case, body, _version(rest))

        return await self._callbacks.accept(use_case, query, ask)

    async def _infer(self, path: str, scope: Scope, body: bytes) -> tuple[bytes, int | None]:
        """The body of an answer, and how many bytes of it are JSON; None if all are."""
        begin = clock()
        use_case, versioned, version = path[len(_MODELS) : -len(_INFER)].partition("/versions/")
        try:
            request = _request(scope, body)
            read = clock()
            answer = await self._service.infer(use_case, request, version if versioned else None)
            answered = clock()
            reply = inference.written(request, answer)
        except RequestError:
            self._refused(use_case, version, clock() - begin)
            raise
        times = (read - begin, answered - read, clock() - answered)
        self._statistics.succeeded(use_case, answer.model_version, answer.outputs[0].shape[0], *times)
        return reply

    def _refused(self, use_case: str, version: str, ns: int) -> None:
        """Count a request that failed, unless it is of a use case or version that is not there."""
        with suppress(RequestError):
            number = self._service.bundle(use_case, version or None).release.version
            self._statistics.failed(use_case, str(number), ns)


def _request(scope: Scope, body: bytes) -> InferRequest:
    json_length = None
    for name, value in scope["headers"]:
        if name == JSON_LENGTH:
            json_length = _length(value)
        elif name == b"content-encoding":
            body = unpacked(body, value, INFER_CAP)
    return inference.read_request(body, json_length)


def _length(value: bytes) -> int:
    if not value.isdigit() or len(value) > len(str(INFER_CAP)):
        raise RequestError(
            f"got Inference-Header-Content-Length {shown(value.decode('latin-1'))}; allowed: bytes of JSON."
        )
    return int(value)


def _version(query: bytes) -> str | None:
    """The version asked for in a query string; RequestError 400 for any other parameter."""
    if not query:
        return None
    try:
        asked = parse_qs(query.decode("latin-1"), keep_blank_values=True, max_num_fields=10)
    except ValueError as error:
        raise RequestError(f"the query string cannot be read: {str(error)[:100]}.") from error
    if set(asked) != {"version"} or len(asked["version"]) != 1:
        raise RequestError(
            f"got the parameters {shown(', '.join(asked))}; allowed: version and callback, each once.",
            hint="Write ?version=3.",
        )
    return asked["version"][0]
