"""The routes of the Open Inference Protocol V2 beside infer: health, metadata, statistics, the repository.

They are FastAPI routes, as none of them is on the path of a score. It must not score.
"""

from importlib.metadata import version as installed
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from mlplatform.errors import RequestError
from mlplatform.online import inference, repository
from mlplatform.online.replies import read_body, sentence
from mlplatform.online.service import ScoringService
from mlplatform.online.statistics import Statistics

NAME = "mlplatform"
EXTENSIONS = ("binary_tensor_data", "model_repository", "statistics")
_TAGS: list[Any] = ["open inference protocol"]


def _body_of(**properties: dict[str, Any]) -> dict[str, Any]:
    """The description of a JSON body that may be left out."""
    schema = {"type": "object", "properties": properties}
    return {"requestBody": {"required": False, "content": {"application/json": {"schema": schema}}}}


_VERSION = {"type": "integer", "minimum": 1, "description": "A release; without it the champion is meant."}
_CHANGE = _body_of(parameters={"type": "object", "properties": {"version": _VERSION}})


def add_protocol(app: FastAPI, service: ScoringService, statistics: Statistics) -> None:
    """Add the routes to `app`; `statistics` is what the infer routes count in."""
    _add_server(app, service)
    _add_statistics(app, service, statistics)  # before the models: `/v2/models/stats` is none
    _add_models(app, service)
    _add_repository(app, service.releases)


def _add_server(app: FastAPI, service: ScoringService) -> None:
    @app.get("/v2", tags=_TAGS, summary="Server metadata")
    @app.get("/v2/", include_in_schema=False)
    async def server() -> dict[str, Any]:
        return {"name": NAME, "version": installed(NAME), "extensions": list(EXTENSIONS)}

    @app.get("/v2/health/live", tags=_TAGS, summary="The process answers")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @app.get("/v2/health/ready", tags=_TAGS, summary="At least one model is ready")
    async def ready() -> JSONResponse:
        is_ready = bool(service.releases.current)
        return JSONResponse({"ready": is_ready}, 200 if is_ready else 503)


def _add_models(app: FastAPI, service: ScoringService) -> None:
    @app.get("/v2/models/{use_case}/ready", tags=_TAGS, summary="Whether a use case can be scored")
    @app.get("/v2/models/{use_case}/versions/{version}/ready", tags=_TAGS, summary="Whether a version can")
    async def model_ready(use_case: str, version: str | None = None) -> JSONResponse:
        try:
            service.bundle(use_case, version)
        except RequestError as error:
            content = {"name": use_case[:100], "ready": False, "error": sentence(error)}
            return JSONResponse(content, error.status)
        return JSONResponse({"name": use_case, "ready": True})

    @app.get("/v2/models/{use_case}/config", include_in_schema=False)
    @app.get("/v2/models/{use_case}/versions/{version}/config", include_in_schema=False)
    async def config(use_case: str, version: str | None = None) -> None:
        service.bundle(use_case, version)
        raise RequestError(
            "there is no model configuration; the extension is not supported.",
            status=404,
            hint=f"GET /v2/models/{use_case[:100]} has inputs and outputs.",
        )

    @app.get("/v2/models/{use_case}", tags=_TAGS, summary="Metadata of the release in use")
    @app.get("/v2/models/{use_case}/versions/{version}", tags=_TAGS, summary="Metadata of a version")
    async def model(use_case: str, version: str | None = None) -> dict[str, Any]:
        versions = sorted(service.deployed(use_case).versions)
        return inference.metadata(service.bundle(use_case, version), versions)


def _add_statistics(app: FastAPI, service: ScoringService, statistics: Statistics) -> None:
    def told(use_case: str, version: str | None) -> list[dict[str, Any]]:
        numbers = sorted(service.deployed(use_case).versions)
        if version is not None:
            numbers = [service.bundle(use_case, version).release.version]
        return [statistics.told(use_case, str(number)) for number in numbers]

    @app.get("/v2/models/stats", tags=_TAGS, summary="Requests and times of all models, in this process")
    async def all_stats() -> dict[str, Any]:
        names = sorted(service.releases.current)
        return {"model_stats": [each for name in names for each in told(name, None)]}

    @app.get("/v2/models/{use_case}/stats", tags=_TAGS, summary="Requests and times of a model's versions")
    @app.get("/v2/models/{use_case}/versions/{version}/stats", tags=_TAGS, summary="Those of one version")
    async def stats(use_case: str, version: str | None = None) -> dict[str, Any]:
        return {"model_stats": told(use_case, version)}


def _add_repository(app: FastAPI, releases: repository.Loaded) -> None:
    @app.post(
        "/v2/repository/index",
        tags=_TAGS,
        summary="Every model with its loaded versions",
        openapi_extra=_body_of(ready={"type": "boolean", "description": "Only those that are ready."}),
    )
    async def index(request: Request) -> list[dict[str, str]]:
        return repository.index(releases, await _body(request))

    # A load takes as long as reading the model and warming its features: a thread waits for it.
    @app.post(
        "/v2/repository/models/{use_case}/load",
        tags=_TAGS,
        summary="Load a release beside others",
        openapi_extra=_CHANGE,
    )
    async def load(use_case: str, request: Request, version: str | None = None) -> Response:
        number = repository.version_of(await _body(request), version)
        await run_in_threadpool(repository.load, releases, use_case, number)
        return Response(media_type="application/json")

    @app.post(
        "/v2/repository/models/{use_case}/unload",
        tags=_TAGS,
        summary="Unload a loaded release",
        openapi_extra=_CHANGE,
    )
    async def unload(use_case: str, request: Request, version: str | None = None) -> Response:
        number = repository.version_of(await _body(request), version)
        await run_in_threadpool(repository.unload, releases, use_case, number)
        return Response(media_type="application/json")


async def _body(request: Request) -> bytes:
    return await read_body(request.scope, request.receive, repository.MOST_BYTES) or b""
