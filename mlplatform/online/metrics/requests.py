"""Counts requests by route and status, and refusals by kind. It must not know what a route does."""

from collections import Counter
from collections.abc import Mapping

from mlplatform.crosscutting.metrics import Samples
from mlplatform.online.metrics.families import REFUSALS, REQUESTS
from mlplatform.online.replies import ASGIApp, Message, Receive, Scope, Send

GONE = 499
"""Status of a request whose caller went away before it was answered."""
_GATE = "gate"
OTHER = "other"
SCORE, INFER = "/score/{use_case}", "/v2/models/{use_case}/infer"
_UNROUTED = (("/score/", SCORE), ("/scores/", "/scores/{prediction_id}"))
"""Routes that are answered before FastAPI routes anything, by how a path of theirs begins."""
_AT_THE_GATE = ("host", "origin", "header", "key", "scope", "rate")
_KINDS = {
    400: "wrong",
    404: "unknown",
    405: "method",
    408: "slow",
    409: "wrong",
    413: "long",
    415: "encoding",
    422: "wrong",
    429: "busy",
    503: "unavailable",
}

Counts = Counter[tuple[str, int]]
"""Requests by route (a template, of which there are few) and status."""


class Counted:
    """An ASGI application whose answers are counted; not for the hot path, which counts by itself."""

    def __init__(self, app: ASGIApp, counts: Counts) -> None:
        self._otherwise, self._counts = app, counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and note how it was answered."""
        if scope["type"] != "http":
            await self._otherwise(scope, receive, send)
            return
        status = GONE

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._otherwise(scope, receive, noted)
        finally:
            self._counts[route_of(scope), status] += 1


def samples(counts: Counts, gate: Mapping[tuple[str, int], int]) -> Samples:
    """Requests and refusals; `gate` are those refused before they were read, by kind and status."""
    asked: Counter[tuple[str, ...]] = Counter()
    refused: Counter[tuple[str, ...]] = Counter({(kind,): 0 for kind in (*_AT_THE_GATE, *_KINDS.values())})
    for (route, status), count in dict(counts).items():
        asked[route, str(status)] += count
        if status in _KINDS:
            refused[(_KINDS[status],)] += count
    for (kind, status), count in dict(gate).items():
        asked[_GATE, str(status)] += count
        refused[(kind,)] += count
    return {REQUESTS.name: dict(asked), REFUSALS.name: dict(refused)}


def route_of(scope: Scope) -> str:
    """The template of the route that answered; what was asked itself would be a series for each caller."""
    path = getattr(scope.get("route"), "path", None)
    if isinstance(path, str):
        return path
    return next((route for start, route in _UNROUTED if scope["path"].startswith(start)), OTHER)
