"""`GET /metrics` of every service. It must not know what is measured."""

from collections.abc import Callable, Sequence

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

from mlplatform.crosscutting.metrics import Family, Samples
from mlplatform.crosscutting.metrics.exposition import CONTENT_TYPE, text

_DESCRIBED = {
    200: {
        "description": "Metrics in the text format of Prometheus, version 0.0.4, of all workers together.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}


def add_metrics(app: FastAPI, families: Sequence[Family], collect: Callable[[], Samples]) -> None:
    """Answer `/metrics` with the samples that `collect` gives, which is called in a thread."""

    @app.get(
        "/metrics",
        tags=["health"],
        summary="Metrics for Prometheus",
        response_class=PlainTextResponse,
        responses=_DESCRIBED,  # type: ignore[arg-type]
    )
    def metrics() -> PlainTextResponse:
        return PlainTextResponse(text(families, collect()), headers={"content-type": CONTENT_TYPE})
