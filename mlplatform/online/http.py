"""The FastAPI app: documentation, health, metadata and status; everything but scoring itself.

`application` puts the scoring routes in front of it. It must not be on the path of a scoring request.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version as installed
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from mlplatform.errors import RequestError
from mlplatform.online import inference
from mlplatform.online.openapi import described
from mlplatform.online.releases import Releases
from mlplatform.online.replies import sentence
from mlplatform.online.scoring_app import ScoringApp
from mlplatform.online.served_log import ServedLog
from mlplatform.online.service import ScoringService
from mlplatform.online.splits import Splits
from mlplatform.online.splits_http import add_splits

_NAME = "mlplatform"


def application(
    releases: Releases,
    *,
    poll_seconds: float = 1.0,
    served: ServedLog | None = None,
    splits: Splits | None = None,
) -> ScoringApp:
    """The whole service; its lifespan follows the champion history (0 seconds: whoever calls `poll` does).

    With `served` every answer to facts is logged, from the start to the end of the lifespan; with `splits`
    the stored questions can be divided.
    """
    service = ScoringService(releases, served.add if served else None)
    app = _app(service, poll_seconds, served)
    if splits:
        add_splits(app, splits)
    return ScoringApp(service, app)


def _app(service: ScoringService, poll_seconds: float, served: ServedLog | None) -> FastAPI:
    releases = service.releases

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if poll_seconds:
            releases.start(poll_seconds)
        if served:
            served.start()
        yield
        releases.stop()
        if served:
            served.close()

    app = FastAPI(title="mlplatform scoring", version=installed(_NAME), lifespan=lifespan, redoc_url=None)
    app.openapi = lambda: described(_document(app), releases.current)  # type: ignore[method-assign]
    app.add_exception_handler(RequestError, _refused)
    app.add_exception_handler(HTTPException, _http_error)
    _add_health(app, releases, served)
    _add_models(app, service)
    return app


def _add_health(app: FastAPI, releases: Releases, served: ServedLog | None) -> None:
    @app.get("/health/live", tags=["health"], summary="The process answers")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @app.get("/health/ready", tags=["health"], summary="At least one use case can be scored")
    async def ready() -> JSONResponse:
        return _ready(releases, problems=True)

    @app.get("/v2/health/live", tags=["open inference protocol"], summary="The process answers")
    async def v2_live() -> dict[str, bool]:
        return {"live": True}

    @app.get("/v2/health/ready", tags=["open inference protocol"], summary="At least one model is ready")
    async def v2_ready() -> JSONResponse:
        return _ready(releases, problems=False)

    @app.get("/v1/status", tags=["health"], summary="What is in use, what is in memory, what is wrong")
    async def status() -> dict[str, Any]:
        return _status(releases) | ({"served": served.status()} if served else {})


def _add_models(app: FastAPI, service: ScoringService) -> None:
    tags: list[Any] = ["open inference protocol"]

    @app.get("/v2", tags=tags, summary="Server metadata")
    @app.get("/v2/", include_in_schema=False)
    async def server() -> dict[str, Any]:
        return {"name": _NAME, "version": installed(_NAME), "extensions": []}

    @app.get("/v2/models/{use_case}", tags=tags, summary="Metadata of the release in use")
    @app.get("/v2/models/{use_case}/versions/{version}", tags=tags, summary="Metadata of a version")
    async def model(use_case: str, version: str | None = None) -> dict[str, Any]:
        return inference.metadata(service.bundle(use_case, version))

    @app.get("/v2/models/{use_case}/ready", tags=tags, summary="Whether a use case can be scored")
    @app.get("/v2/models/{use_case}/versions/{version}/ready", tags=tags, summary="Whether a version can")
    async def model_ready(use_case: str, version: str | None = None) -> JSONResponse:
        try:
            service.bundle(use_case, version)
        except RequestError as error:
            content = {"name": use_case[:100], "ready": False, "error": sentence(error)}
            return JSONResponse(content, error.status)
        return JSONResponse({"name": use_case, "ready": True})


def _ready(releases: Releases, *, problems: bool) -> JSONResponse:
    ready = bool(releases.current)
    content: dict[str, Any] = {"ready": ready}
    if problems:
        nothing = "" if ready or releases.known else "No use case has a candidate yet. Run `mlplatform run`."
        serving = {name: bundle.release.version for name, bundle in releases.current.items()}
        content |= {"serving": serving, "trouble": releases.trouble or nothing}
        content["problems"] = dict(releases.problems)
    return JSONResponse(content, 200 if ready else 503)


def _status(releases: Releases) -> dict[str, Any]:
    current, problems = releases.current, releases.problems
    use_cases: dict[str, Any] = {}
    for name in sorted({*releases.known, *current}):
        use_cases[name] = {"ready": name in current, "problem": problems.get(name, "")}
        if bundle := current.get(name):
            release, memory = bundle.release, bundle.memory
            use_cases[name] |= {
                "version": release.version,
                "model": release.model,
                "digest": release.digest,
                "feature_set": bundle.feature_set_id,
                "released_at": release.released_at.isoformat(),
                "threshold": bundle.threshold,
                "memory": {
                    "whole_from_us": memory.whole_from_us,
                    "newest": memory.newest,
                    "rows": dict(memory.rows),
                },
                "stream": releases.stream.status(name, memory) if releases.stream else {},
            }
    return {"ready": bool(current), "trouble": releases.trouble, "use_cases": use_cases}


def _document(app: FastAPI) -> dict[str, Any]:
    return get_openapi(title=app.title, version=app.version, routes=app.routes)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    status = error.status if isinstance(error, RequestError) else 500
    text = sentence(error) if isinstance(error, RequestError) else "an internal error"
    return JSONResponse({"error": text}, status)


async def _http_error(_: Request, error: Exception) -> JSONResponse:
    status, text = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, "error")
    return JSONResponse({"error": f"{text}. The routes are described at /docs."}, status)
