"""The two scoring routes as one plain ASGI callable, in front of the app that answers everything else.

FastAPI's own route machinery costs more than the model does, so the hot path goes without it; `openapi.py`
describes these routes for the documentation. It must not compute scores.

    POST /score/{use_case}                              one row's facts as a JSON object, or a list of them
    POST /v2/models/{use_case}[/versions/{v}]/infer     Open Inference Protocol V2
"""

from mlplatform.errors import MlplatformError, RequestError
from mlplatform.online import inference
from mlplatform.online.replies import ASGIApp, Receive, Scope, Send, encode, error_body, read_body, send_json
from mlplatform.online.service import ScoringService

SCORE_CAP = 256 * 1024
INFER_CAP = 4 * 1024 * 1024
"""Bytes of a body: 1,000 rows of 200 ready-made features fit."""

_SCORE, _MODELS, _INFER = "/score/", "/v2/models/", "/infer"
_BINARY = b"inference-header-content-length"


class ScoringApp:
    """An ASGI application: scoring here, the rest in `otherwise`."""

    def __init__(self, service: ScoringService, otherwise: ASGIApp) -> None:
        self._service, self._otherwise = service, otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path: str = scope["path"] if scope["type"] == "http" else ""
        if path.startswith(_SCORE) or (path.startswith(_MODELS) and path.endswith(_INFER, len(_MODELS))):
            await self._answer(path, scope, receive, send)
        else:
            await self._otherwise(scope, receive, send)

    async def _answer(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["method"] != "POST":
                raise RequestError(f"got {scope['method'][:20]}; allowed: POST.", status=405)
            if path.startswith(_SCORE):
                body = await read_body(scope, receive, SCORE_CAP)
                if body is None:
                    return
                answer = encode(self._service.score_json(path[len(_SCORE) :], body))
            else:
                body = await read_body(scope, receive, INFER_CAP)
                if body is None:
                    return
                answer = await self._infer(path, scope, body)
        except RequestError as error:
            await send_json(send, error.status, error_body(error))
        except MlplatformError as error:
            await send_json(send, 500, error_body(error))
        except Exception:
            await send_json(send, 500, encode({"error": "an internal error; the server's log has it"}))
            raise
        else:
            await send_json(send, 200, answer)

    async def _infer(self, path: str, scope: Scope, body: bytes) -> bytes:
        use_case, versioned, version = path[len(_MODELS) : -len(_INFER)].partition("/versions/")
        if any(name == _BINARY for name, _ in scope["headers"]):
            raise RequestError(
                "the binary tensor extension is not supported.",
                hint="Send JSON: with tritonclient, set_data_from_numpy(…, binary_data=False).",
            )
        request = inference.read_request(body)
        return encode(await self._service.infer(use_case, request, version if versioned else None))
