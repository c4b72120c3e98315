"""Runs the Online Data Preparation Service: `python -m mlplatform.online.preparation_server USE_CASE …`.

One process: HTTP for its health on the event loop, and a thread per use case that prepares. `--partition K
--of N` makes it answer for its share of the keys only. It must not read declarations: what it has to know of
a use case was published in the home (streams.py).
"""

import argparse
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from mlplatform.crosscutting import logs
from mlplatform.crosscutting.bus import open_bus
from mlplatform.crosscutting.bus.topics import SOURCE_EVENT
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import MlplatformError, NotFound
from mlplatform.online.background import Background
from mlplatform.online.documented import documented
from mlplatform.online.gate import Gate
from mlplatform.online.listening import listen
from mlplatform.online.metrics.families import PREPARATION
from mlplatform.online.metrics.preparation import PreparationMetrics
from mlplatform.online.metrics.requests import Counted, Counts
from mlplatform.online.metrics.route import add_metrics
from mlplatform.online.preparation import Preparation
from mlplatform.online.refusals import add_refusals
from mlplatform.online.replies import ASGIApp
from mlplatform.online.server import config_of
from mlplatform.online.spans import traced
from mlplatform.online.streams import Streams, published
from mlplatform.stores.lake import Lake
from mlplatform.stores.online import OnlineStore, open_online_store, shared

_LOG = logging.getLogger(__name__)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def serve(settings: Settings, use_cases: Sequence[str], *, partition: int = 0, of: int = 1) -> None:
    """Prepare the use cases until SIGINT or SIGTERM.

    Raises
    ------
    NotFound
        if nothing was published of a use case.
    BusError
        if no broker answers.
    ServiceError
        if the address cannot be listened on, or another process has this share.
    """
    told = [_streams(settings, name) for name in use_cases]
    listening = listen(settings.host, settings.preparation_port, "MLPLATFORM_PREPARATION_PORT")
    with ExitStack() as stack:
        bus = stack.enter_context(closing(open_bus(settings.broker_url)))
        lake = stack.enter_context(closing(Lake.from_settings(settings)))
        locks = settings.home / "streams"
        preparations = []
        for streams in told:
            store = _shared(settings, streams)
            made = Preparation(bus, lake, streams, locks=locks, partition=partition, of=of, shared=store)
            preparations.append(stack.enter_context(closing(made)))
        gate = Gate.from_settings(settings)
        app = traced(
            application(preparations, gate, last=lambda: bus.last(SOURCE_EVENT)), settings, "preparation"
        )
        # uvicorn shuts down in order and raises the signal once more; SIGTERM is to end as SIGINT does.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config_of(app)).run(sockets=[listening])


def _shared(settings: Settings, streams: Streams) -> OnlineStore | None:
    if not shared(settings.online_store):
        return None
    return open_online_store(settings.online_store, streams.features(), streams.use_case)


def application(
    preparations: Sequence[Preparation], gate: Gate | None = None, last: Callable[[], int] | None = None
) -> ASGIApp:
    """Health, status and metrics; its lifespan runs the preparations. `last` is as for the metrics."""
    background = Background("preparation", preparations)
    app = FastAPI(title="mlplatform preparation", lifespan=background.lifespan, redoc_url=None)
    add_refusals(app)

    @app.get("/health/live", tags=["health"], summary="The process answers")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @app.get("/health/ready", tags=["health"], summary="Every use case is prepared without trouble")
    async def ready() -> JSONResponse:
        troubles = {each.use_case: each.trouble for each in preparations if each.trouble}
        return JSONResponse({"ready": not troubles, "trouble": troubles}, 503 if troubles else 200)

    @app.get("/v1/status", tags=["health"], summary="How far each use case is prepared")
    async def status() -> dict[str, Any]:
        return {"use_cases": {each.use_case: _status(each) for each in preparations}}

    counts = Counts()
    metrics = PreparationMetrics(preparations, counts, gate.refused if gate else {}, last)
    add_metrics(app, PREPARATION, metrics.collect)
    keys = gate is not None and gate.ring is not None
    app.openapi = lambda: documented(app, keys=keys)  # type: ignore[method-assign]
    return gate.around(Counted(app, counts)) if gate else Counted(app, counts)


def _status(preparation: Preparation) -> dict[str, Any]:
    newest = _EPOCH + timedelta(microseconds=preparation.clock_us)
    return {
        "share": preparation.share,
        "position": preparation.position,
        "newest_event": newest.isoformat() if preparation.clock_us else None,
        "rows": preparation.rows,
        "pending": preparation.pending,
        "refused": preparation.refused,
        "unreadable": preparation.unreadable,
        "trouble": preparation.trouble,
    }


def _streams(settings: Settings, use_case: str) -> Streams:
    found = published(settings.home, use_case)
    if found is None:
        raise NotFound(
            f"nothing was published of streams of {use_case!r} in {settings.home}.",
            hint="Declare `sources` of a stream in defs.yaml; `mlplatform prepare` and `up` publish them.",
        )
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare the use cases named in the arguments; the exit code."""
    parser = argparse.ArgumentParser(prog="mlplatform.online.preparation_server")
    parser.add_argument("use_cases", nargs="+", metavar="USE_CASE")
    parser.add_argument("--partition", type=int, default=0, metavar="K")
    parser.add_argument("--of", type=int, default=1, metavar="N")
    asked = parser.parse_args(arguments)
    try:
        settings = Settings.load()
        logs.set_up(settings, "preparation")
        serve(settings, asked.use_cases, partition=asked.partition, of=asked.of)
    except MlplatformError as error:
        logs.complain(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
