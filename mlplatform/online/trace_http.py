"""The routes of `/trace`: a form, the trail of a score, and what a batch went into, as pages or JSON.

It must not trace (`trails.py` has that done) nor write HTML (`trace_page.py` does).
"""

from collections.abc import Callable
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from mlplatform.online import trace_page
from mlplatform.online.pages_http import headers
from mlplatform.online.trails import BATCH, Trails

_JSON = "application/json"
_HEADERS = headers()
_PRIVATE = {"cache-control": "no-store"}
"""Facts of a question are nobody's to keep."""
_LONGEST = 64
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A page; or, with `Accept: application/json`, what `mlplatform trace --json` tells.",
        "content": {_JSON: {"schema": {"type": "object"}}, "text/html": {"schema": {"type": "string"}}},
    },
    404: {"description": "There is no such score or batch, or it is not in the lake yet"},
    503: {"description": "Others are traced, or it took too long"},
}


def add_trace(app: FastAPI, trails: Trails) -> None:
    """Answer the routes of `/trace`."""

    @app.get(
        "/trace",
        tags=["monitoring"],
        summary="A form that asks for an id; with `?id=…`, on to its trail",
        response_class=HTMLResponse,
    )
    async def form(id: str = "") -> Response:
        wanted = id.strip().lower()[:_LONGEST]
        if not wanted:
            return HTMLResponse(trace_page.form_page(), headers=_HEADERS)
        kind = "batch/" if BATCH.fullmatch(wanted) else ""
        # What is no id must not become a path of its own.
        return RedirectResponse(
            f"/trace/{kind}{wanted if wanted.isalnum() and wanted.isascii() else 'none'}", 303
        )

    @app.get(
        "/trace/{prediction_id}",
        tags=["monitoring"],
        summary="From a score back to release, candidate, features, batches and files",
        responses=_ANSWERS,
        response_class=HTMLResponse,
    )
    async def score(prediction_id: str, request: Request) -> Response:
        return _told(request, await trails.score(prediction_id), trace_page.score_page)

    @app.get(
        "/trace/batch/{batch_id}",
        tags=["monitoring"],
        summary="From a batch forward to tables, candidates and the scores it touched",
        responses=_ANSWERS,
        response_class=HTMLResponse,
    )
    async def batch(batch_id: str, request: Request) -> Response:
        return _told(request, await trails.batch(batch_id), trace_page.batch_page)


def _told(request: Request, found: dict[str, Any], page: Callable[[dict[str, Any]], str]) -> Response:
    if _JSON in request.headers.get("accept", ""):  # no browser that looks at a page says so
        return Response(msgspec.json.encode(found), media_type=_JSON, headers=_PRIVATE)
    return HTMLResponse(page(found), headers=_HEADERS | _PRIVATE)
