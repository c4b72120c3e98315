"""The FastAPI app: documentation, health, metadata and status; everything but scoring itself.

`application` puts the scoring routes in front of it. It must not be on the path of a scoring request.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import anyio.to_thread
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse

from mlplatform.crosscutting.metrics import SharedSamples
from mlplatform.online.batch_http import BatchScores, add_batch_scores
from mlplatform.online.bundle import Bundle, OnServed
from mlplatform.online.delivery.delivery import Delivery
from mlplatform.online.delivery.delivery_http import RecentFirst, add_delivery
from mlplatform.online.deployed import Deployed
from mlplatform.online.documented import documented
from mlplatform.online.gate import Gate
from mlplatform.online.graceful import BEFORE_SHUTDOWN
from mlplatform.online.metrics.families import SCORING
from mlplatform.online.metrics.requests import Counts
from mlplatform.online.metrics.route import add_metrics
from mlplatform.online.metrics.scoring import ScoringMetrics
from mlplatform.online.openapi import described
from mlplatform.online.pages_http import add_pages
from mlplatform.online.protocol_http import add_protocol
from mlplatform.online.refusals import add_refusals
from mlplatform.online.releases import Releases
from mlplatform.online.replies import ASGIApp
from mlplatform.online.rpc import ScoringRpc
from mlplatform.online.scoring_app import ScoringApp
from mlplatform.online.served_log import ServedLog
from mlplatform.online.service import ScoringService
from mlplatform.online.serving_told import ServingTold
from mlplatform.online.splits import Splits
from mlplatform.online.splits_http import add_splits
from mlplatform.online.statistics import Statistics
from mlplatform.online.trace_http import add_trace
from mlplatform.online.trails import Trails
from mlplatform.online.version import Version

_NAME = "mlplatform"


def application(
    releases: Releases,
    *,
    poll_seconds: float = 1.0,
    served: ServedLog | None = None,
    told: ServingTold | None = None,
    splits: Splits | None = None,
    worker: int = 0,
    gate: Gate | None = None,
    batch_scores: BatchScores | None = None,
    delivery: Delivery | None = None,
    rpc_broker: str = "",
    metrics_file: Path | None = None,
    pages: Path | None = None,
    trails: Trails | None = None,
) -> ASGIApp:
    """The whole service; its lifespan follows the champion history (0 seconds: whoever calls `poll` does).

    With `served` every answer to facts is logged, from the start to the end of the lifespan, and with `told`
    the bus hears of it; with `splits` the stored questions can be divided; with `batch_scores` days can be
    scored in the background; with `delivery` answers are looked up, streamed and pushed; `rpc_broker` is the
    URL of a broker over which questions come too. `worker` is the number of this process, which its status
    names; `metrics_file` is where it writes what it has counted, beside those of the others, so that each
    tells of all. `pages` is the folder of status pages and reports; with `trails` scores are traced.
    """
    on_served: OnServed | None = served.add if served else None
    if delivery is not None:
        on_served = delivery.beside(on_served or _unlogged)
    service = ScoringService(releases, on_served, served.settled if served else None)
    statistics, rpc = Statistics(), ScoringRpc(service, rpc_broker) if rpc_broker else None
    beside, counts = _Beside(served, told, delivery, rpc), Counts()
    metrics = ScoringMetrics(service, counts, gate.refused if gate else {}, beside.status, worker)
    shared = SharedSamples(metrics_file, SCORING, metrics.collect) if metrics_file else None
    app = _app(service, poll_seconds, beside, worker, statistics, shared)
    add_metrics(app, SCORING, lambda: metrics.shown(shared.all() if shared else metrics.collect()))
    keys = gate is not None and gate.ring is not None
    app.openapi = lambda: documented(app, keys=keys, document=described(_document(app), _bundles(releases)))  # type: ignore[method-assign]
    if splits:
        add_splits(app, splits)
    if batch_scores:
        add_batch_scores(app, batch_scores)
    if pages is not None:
        add_pages(app, pages)
    if trails is not None:
        add_trace(app, trails)
    otherwise: ASGIApp = app
    if delivery is not None:
        add_delivery(app, delivery, lambda: {*releases.known, *releases.current})
        otherwise = RecentFirst(delivery.recent, app)
    whole = ScoringApp(service, otherwise, statistics, delivery.callbacks if delivery else None, counts)
    return gate.around(whole) if gate else whole


@dataclass(frozen=True)
class _Beside:
    """What goes on beside the answers, from the start of the service to its end."""

    served: ServedLog | None
    told: ServingTold | None
    delivery: Delivery | None
    rpc: ScoringRpc | None

    def start(self) -> None:
        for part in (self.told, self.served, self.delivery, self.rpc):
            if part is not None:
                part.start()

    def end_streams(self) -> None:
        if self.delivery is not None:
            self.delivery.end_streams()

    async def stop(self) -> None:
        if self.rpc is not None:
            await self.rpc.stop()
        if self.delivery is not None:
            await self.delivery.stop()
        if self.served is not None:
            await anyio.to_thread.run_sync(self.served.close)
        if self.told is not None:  # after the log, whose last writes it tells of
            await anyio.to_thread.run_sync(self.told.close)

    def status(self) -> dict[str, Any]:
        parts = {"served": self.served, "told": self.told, "delivery": self.delivery, "rpc": self.rpc}
        return {name: part.status() for name, part in parts.items() if part is not None}


def _unlogged(*told: Any) -> None:
    """Where no log of what was served is kept."""


def _app(
    service: ScoringService,
    poll_seconds: float,
    beside: _Beside,
    worker: int,
    statistics: Statistics,
    shared: SharedSamples | None,
) -> FastAPI:
    releases = service.releases

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        if poll_seconds:
            releases.start(poll_seconds)
        beside.start()
        if shared:
            shared.start()
        yield {BEFORE_SHUTDOWN: beside.end_streams}
        releases.stop()
        await beside.stop()
        if shared:
            await anyio.to_thread.run_sync(shared.stop)

    app = FastAPI(title="mlplatform scoring", version=installed(_NAME), lifespan=lifespan, redoc_url=None)
    add_refusals(app)
    _add_health(app, releases, beside, worker)
    add_protocol(app, service, statistics)
    return app


def _add_health(app: FastAPI, releases: Releases, beside: _Beside, worker: int) -> None:
    @app.get("/health/live", tags=["health"], summary="The process answers")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @app.get("/health/ready", tags=["health"], summary="At least one use case can be scored")
    async def ready() -> JSONResponse:
        return _ready(releases)

    @app.get("/v1/status", tags=["health"], summary="What is in use, what is in memory, what is wrong")
    async def status() -> dict[str, Any]:
        process = {"worker": {"number": worker, "pid": os.getpid()}} if worker else {}
        return _status(releases) | beside.status() | process


def _ready(releases: Releases) -> JSONResponse:
    ready = bool(releases.current)
    nothing = "" if ready or releases.known else "No use case has a candidate yet. Run `mlplatform run`."
    content: dict[str, Any] = {
        "ready": ready,
        "serving": {name: deployed.bundle.release.version for name, deployed in releases.current.items()},
        "trouble": releases.trouble or nothing,
        "problems": dict(releases.problems),
    }
    return JSONResponse(content, 200 if ready else 503)


def _status(releases: Releases) -> dict[str, Any]:
    current, problems = releases.current, releases.problems
    use_cases: dict[str, Any] = {}
    for name in sorted({*releases.known, *current}):
        use_cases[name] = {"ready": name in current, "problem": problems.get(name, "")}
        if deployed := current.get(name):
            bundle = deployed.bundle
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
                "roles": _roles(deployed),
                "versions": {str(n): each.status() for n, each in sorted(deployed.versions.items())},
            }
    return {"ready": bool(current), "trouble": releases.trouble, "use_cases": use_cases}


def _bundles(releases: Releases) -> dict[str, Bundle]:
    return {name: deployed.bundle for name, deployed in releases.current.items()}


def _roles(deployed: Deployed) -> dict[str, Any]:
    """Which version is what."""

    def number(version: Version | None) -> int | None:
        return version.bundle.release.version if version else None

    return {
        "champion": number(deployed.champion),
        "previous": [number(version) for version in deployed.previous],
        "canary": number(deployed.canary),
        "share": deployed.share,
        "shadow": number(deployed.shadow),
        "batch_scores": len(deployed.precomputed.scores) if deployed.precomputed else 0,
        "constant": deployed.policy.constant,
    }


def _document(app: FastAPI) -> dict[str, Any]:
    return get_openapi(title=app.title, version=app.version, routes=app.routes)
