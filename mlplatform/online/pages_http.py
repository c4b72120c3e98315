"""The routes `GET /status[/{use_case}]` and `GET /reports/{use_case}/{file}`: pages that monitoring wrote.

They are files of the home; a page brings its figures, styles and script along, and loads nothing from
elsewhere. It must not make a page (`reports.py` has that done in another process).
"""

import re
from html import escape
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import FileResponse, HTMLResponse, Response

from mlplatform.errors import RequestError
from mlplatform.online.replies import shown
from mlplatform.online.reports import Reports

STATUS = "status.html"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}\.(html|json|png)", re.ASCII)


def headers(script: str = "'none'") -> dict[str, str]:
    """Of a page of ours: nothing but the page itself may be loaded, and a form asks nobody but us."""
    policy = (
        f"default-src 'none'; script-src {script}; style-src 'unsafe-inline'; img-src data:; font-src data:; "
        "frame-ancestors 'self'; base-uri 'none'; form-action 'self'"
    )
    return {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "cache-control": "no-cache",
    }


_STATUS = headers("'unsafe-inline'")
_REPORT = headers("'unsafe-inline' 'unsafe-eval'")  # Evidently's pages compile templates
_ANSWERS: dict[int | str, dict[str, Any]] = {404: {"description": "There is no such page yet"}}
_MADE: dict[int | str, dict[str, Any]] = {
    202: {"description": "The page is being made; this answer is a page that asks again by itself"},
    **_ANSWERS,
    500: {"description": "The page cannot be made"},
    503: {"description": "Too many pages are being made, or it took too long"},
}


def _asks_again(title: str, said: str, seconds: int) -> str:
    """A page that is shown in place of another one until that is there."""
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f'<meta http-equiv="refresh" content="{seconds}"><title>{title}</title>'
        '<body style="font:16px/1.6 system-ui,sans-serif;max-width:60ch;margin:3rem auto">'
        f"<p>{said} The page asks again by itself.</p></body></html>"
    )


_LATER = _asks_again("Being made", "This report is being made, which takes some seconds.", 3)
_NOTHING_YET = _asks_again(
    "Nothing yet",
    "Monitoring has not looked at this use case yet: it does once the lake has answers and outcomes.",
    10,
)


def add_pages(app: FastAPI, folder: Path, reports: Reports | None = None) -> None:
    """Answer with the pages of a folder: a folder per use case, `status.html` and reports in it."""
    making = reports or Reports()

    @app.get("/status", tags=["monitoring"], summary="The use cases that have a status page")
    def index() -> Response:
        names = sorted(path.parent.name for path in folder.glob(f"*/{STATUS}"))
        links = "".join(f'<li><a href="/status/{escape(name)}">{escape(name)}</a></li>' for name in names)
        said = f"<ul>{links}</ul>" if names else "<p>No use case has answers that were judged yet.</p>"
        body = (
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>Status</title>'
            '<body style="font:16px/1.6 system-ui,sans-serif;max-width:60ch;margin:3rem auto">'
            f'<h1>Status</h1>{said}<p><a href="/trace">Trace a score or a batch</a></p></body></html>'
        )
        return HTMLResponse(body, headers=_STATUS)

    @app.get(
        "/status/{use_case}",
        tags=["monitoring"],
        summary="How a use case serves, how right it was, and what was done about it, as a page",
        responses=_ANSWERS
        | {202: {"description": "Monitoring has not looked at it yet; asks again by itself"}},
        response_class=HTMLResponse,
    )
    def status(use_case: str) -> Response:
        own = folder / use_case
        if _NAME.fullmatch(use_case) and own.is_dir() and not (own / STATUS).exists():
            return HTMLResponse(_NOTHING_YET, 202, _STATUS | {"retry-after": "10"})
        return FileResponse(_path(folder, use_case, STATUS), headers=_STATUS)

    @app.get(
        "/reports/{use_case}/{file}",
        tags=["monitoring"],
        summary="A report that monitoring wrote: JSON, a picture, or HTML that is made when it is asked for",
        responses=_MADE,
        response_class=HTMLResponse,
    )
    async def report(use_case: str, file: str) -> Response:
        if (
            _is_name(use_case, file)
            and file.endswith(".html")
            and not await making.made(folder / use_case / file)
        ):
            return HTMLResponse(_LATER, 202, _REPORT | {"retry-after": "3"})
        return FileResponse(_path(folder, use_case, file), headers=_REPORT)


def _is_name(use_case: str, file: str) -> bool:
    """Whether they can be names of a folder and a file of ours: nothing that leads elsewhere."""
    return bool(_NAME.fullmatch(use_case) and _FILE.fullmatch(file))


def _path(folder: Path, use_case: str, file: str) -> Path:
    path = folder / use_case / file
    if not (_is_name(use_case, file) and path.is_file()):
        raise RequestError(
            f"there is no page {shown(file)} of {shown(use_case)}.",
            status=404,
            hint="Pages are written by the assets of monitoring; GET /status lists those there are.",
        )
    return path
