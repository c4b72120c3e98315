"""The routes `GET /status[/{use_case}]` and `GET /reports/{use_case}/{file}`: pages that monitoring wrote.

They are files of the home; a page brings its figures, styles and script along, and loads nothing from
elsewhere. It must not make a page.
"""

import re
from html import escape
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import FileResponse, HTMLResponse, Response

from mlplatform.errors import RequestError
from mlplatform.online.replies import shown

STATUS = "status.html"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}\.(html|json|png)", re.ASCII)
# Evidently's pages compile templates; nothing but the page itself may be loaded or told.
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
        "img-src data:; font-src data:; frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
    ),
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}
_ANSWERS: dict[int | str, dict[str, Any]] = {404: {"description": "There is no such page yet"}}


def add_pages(app: FastAPI, folder: Path) -> None:
    """Answer with the pages of a folder: a folder per use case, `status.html` and reports in it."""

    @app.get("/status", tags=["monitoring"], summary="The use cases that have a status page")
    def index() -> Response:
        names = sorted(path.parent.name for path in folder.glob(f"*/{STATUS}"))
        links = "".join(f'<li><a href="/status/{escape(name)}">{escape(name)}</a></li>' for name in names)
        said = f"<ul>{links}</ul>" if names else "<p>No use case has answers that were judged yet.</p>"
        body = (
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>Status</title>'
            '<body style="font:16px/1.6 system-ui,sans-serif;max-width:60ch;margin:3rem auto">'
            f"<h1>Status</h1>{said}</body></html>"
        )
        return HTMLResponse(body, headers=_HEADERS)

    @app.get(
        "/status/{use_case}",
        tags=["monitoring"],
        summary="How a use case serves, how right it was, and what was done about it, as a page",
        responses=_ANSWERS,
        response_class=HTMLResponse,
    )
    def status(use_case: str) -> Response:
        return _page(folder, use_case, STATUS)

    @app.get(
        "/reports/{use_case}/{file}",
        tags=["monitoring"],
        summary="A report that monitoring wrote: HTML, JSON or a picture",
        responses=_ANSWERS,
        response_class=HTMLResponse,
    )
    def report(use_case: str, file: str) -> Response:
        return _page(folder, use_case, file)


def _page(folder: Path, use_case: str, file: str) -> Response:
    path = folder / use_case / file
    if not (_NAME.fullmatch(use_case) and _FILE.fullmatch(file) and path.is_file()):
        raise RequestError(
            f"there is no page {shown(file)} of {shown(use_case)}.",
            status=404,
            hint="Pages are written by the assets of monitoring; GET /status lists those there are.",
        )
    return FileResponse(path, headers=_HEADERS)
