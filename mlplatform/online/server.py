"""Runs the scoring service: `python -m mlplatform.online.server [use_case …]`, or `mlplatform serve`.

One process, one thread for requests, one that follows releases; with MLPLATFORM_WORKERS above one, so many of
those (`workers.py`). It must not be imported by what it serves, and what it serves is imported late: the
parent of workers stays small, and LightGBM reads the number of threads when it is loaded.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from mlplatform.crosscutting import logs
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import MlplatformError
from mlplatform.online.graceful import GracefulServer
from mlplatform.online.listening import BACKLOG, listen
from mlplatform.online.protocol import GuardedProtocol

if TYPE_CHECKING:
    from mlplatform.online.releases import Releases
    from mlplatform.online.replies import ASGIApp

GRACE_SECONDS = 5


def serve(settings: Settings, use_cases: Sequence[str] = ()) -> None:
    """Serve until SIGINT or SIGTERM: `use_cases`, and every use case that has candidates.

    Starts without a lake, a candidate or a champion, and takes them up once they exist. With
    `settings.workers` above one the calling process only looks after so many others.

    Raises
    ------
    ServiceError
        if the address cannot be listened on, or a worker ends before it has served.
    """
    if settings.workers > 1:
        from mlplatform.online.workers import Workers

        Workers(settings, use_cases).run()
        return
    listening = listen(settings.host, settings.scoring_port)
    _, app = served_app(settings, use_cases)
    config = config_of(app)
    with suppress(KeyboardInterrupt):  # uvicorn has shut down in order, and raises the signal once more
        GracefulServer(config).run(sockets=[listening])


def served_app(
    settings: Settings, use_cases: Sequence[str], worker: int = 1, metrics_file: Path | None = None
) -> "tuple[Releases, ASGIApp]":
    """What one process serves, and the releases it does so from.

    `worker` is its number among several, `metrics_file` where it writes what it has counted for the others.
    """
    # With more threads OpenMP's wait actively for each other, next to the thread that answers.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from mlplatform.online.batch_http import BatchScores
    from mlplatform.online.delivery.delivery import Delivery
    from mlplatform.online.gate import Gate
    from mlplatform.online.http import application
    from mlplatform.online.releases import Releases
    from mlplatform.online.served_log import ServedLog
    from mlplatform.online.serving_told import ServingTold
    from mlplatform.online.spans import traced
    from mlplatform.online.splits import Splits
    from mlplatform.online.trails import Trails

    releases = Releases.from_settings(settings, use_cases)
    told = ServingTold.from_settings(settings)
    served, splits = ServedLog.from_settings(settings, told.tell), Splits.from_settings(settings)
    gate = Gate.from_settings(settings)
    batch = BatchScores(settings)
    app = application(
        releases,
        served=served,
        told=told,
        splits=splits,
        worker=worker,
        gate=gate,
        batch_scores=batch,
        delivery=Delivery.from_settings(settings),
        rpc_broker=settings.broker_url,
        pages=settings.reports,
        trails=Trails(settings),
        metrics_file=metrics_file,
    )
    return releases, traced(app, settings, "scoring")


def config_of(app: "ASGIApp") -> uvicorn.Config:
    """How every service of ours is served: no log of its own, no access log, nor a header that names it."""
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=GuardedProtocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the use cases named in the arguments; the exit code."""
    try:
        settings = Settings.load()
        logs.set_up(settings, "scoring")
        serve(settings, sys.argv[1:] if arguments is None else arguments)
    except MlplatformError as error:
        logs.complain(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
