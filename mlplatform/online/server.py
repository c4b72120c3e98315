"""Runs the scoring service: `python -m mlplatform.online.server [use_case …]`, or `mlplatform serve`.

One process, one thread for requests, one that follows releases. It must not be imported by what it serves,
and imports no model library itself: LightGBM reads the number of threads when it is loaded.
"""

import errno
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress

import uvicorn

from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import MlplatformError, ServiceError
from mlplatform.online.http import application
from mlplatform.online.releases import Releases
from mlplatform.online.replies import ASGIApp
from mlplatform.online.served_log import ServedLog
from mlplatform.online.splits import Splits

GRACE_SECONDS = 5
BACKLOG = 2048


def serve(settings: Settings, use_cases: Sequence[str] = ()) -> None:
    """Serve until SIGINT or SIGTERM: `use_cases`, and every use case that has candidates.

    Starts without a lake, a candidate or a champion, and takes them up once they exist.

    Raises
    ------
    ServiceError
        if the address cannot be listened on.
    """
    # With more threads OpenMP's wait actively for each other, next to the thread that answers.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    listening = listen(settings.host, settings.scoring_port)
    app = application(
        Releases.from_settings(settings, use_cases),
        served=ServedLog.from_settings(settings),
        splits=Splits.from_settings(settings),
    )
    config = config_of(app)
    with suppress(KeyboardInterrupt):  # uvicorn has shut down in order, and raises the signal once more
        uvicorn.Server(config).run(sockets=[listening])


def config_of(app: ASGIApp) -> uvicorn.Config:
    """How every service of ours is served; its own log, no access log, no header that names the server."""
    return uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def listen(host: str, port: int, setting: str = "MLPLATFORM_SCORING_PORT") -> socket.socket:
    """A listening socket; `setting` is the environment variable that chooses the port.

    Raises
    ------
    ServiceError
        if the port is taken, or the host is no address of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _cannot_listen(host, port, setting, error) from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise _cannot_listen(host, port, setting, error) from error
    return listening


def _cannot_listen(host: str, port: int, setting: str, error: OSError) -> ServiceError:
    if error.errno == errno.EADDRINUSE:
        return ServiceError(
            f"port {port} on {host} is taken by another process.",
            hint=f"Set {setting} to a free port, or stop the other process.",
        )
    return ServiceError(
        f"cannot listen on {host}:{port}: {error.strerror or error}.",
        hint=f"Set MLPLATFORM_HOST to an address of this machine and {setting} to a free port.",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the use cases named in the arguments; the exit code."""
    try:
        serve(Settings.load(), sys.argv[1:] if arguments is None else arguments)
    except MlplatformError as error:
        print(f"{error}\n{error.hint}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
