"""The scoring service without what monitoring adds: `python -m benchmarks.serving_unwatched [USE_CASE …]`.

No tallies of answers, no trace of a request, no message of what was logged; the log of answers stays, unless
UNLOGGED is set. Only for `benchmarks.monitoring`: a service has no switch for it.
"""

import os
import sys
from typing import Any

from mlplatform.crosscutting import tracing
from mlplatform.crosscutting.settings import Settings
from mlplatform.online import served_log, server, serving_told
from mlplatform.online.graceful import GracefulServer
from mlplatform.online.listening import listen
from mlplatform.online.metrics.tallies import Tallies


def _nothing(*_: Any) -> None:
    """What is left of a part that is taken out."""


def main() -> None:
    """Serve until SIGTERM."""
    settings = Settings.load()
    for owner, name in (
        (Tallies, "answered"),
        (tracing, "begin"),
        (serving_told.ServingTold, "tell"),
        *([(served_log.ServedLog, "add")] if os.environ.get("UNLOGGED") else []),
    ):
        setattr(owner, name, _nothing)
    listening = listen(settings.host, settings.scoring_port)
    _, app = server.served_app(settings, sys.argv[1:])
    GracefulServer(server.config_of(app)).run(sockets=[listening])


if __name__ == "__main__":
    main()
