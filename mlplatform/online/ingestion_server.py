"""Runs the Online Ingestion Service: `python -m mlplatform.online.ingestion_server USE_CASE:STREAM …`.

One process: HTTP on the event loop, and a thread per use case that archives its streams. SIGTERM and SIGINT
end both, requests first. It must not read declarations: whoever starts it says which streams there are.
"""

import logging
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing, suppress

import uvicorn

from mlplatform.crosscutting import logs
from mlplatform.crosscutting.bus import Bus, open_bus
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import ConfigurationError, MlplatformError
from mlplatform.online.acceptor import Acceptor
from mlplatform.online.archiver import Archiver
from mlplatform.online.background import Background
from mlplatform.online.gate import Gate
from mlplatform.online.ingestion_http import application
from mlplatform.online.listening import listen
from mlplatform.online.metrics.ingestion import DeadLetters
from mlplatform.online.server import config_of
from mlplatform.online.spans import traced
from mlplatform.stores.data_audit import DataAudit
from mlplatform.stores.lake import Lake, Table
from mlplatform.stores.raw import RawStore

Streams = Mapping[str, Sequence[str]]

_LOG = logging.getLogger(__name__)


def serve(settings: Settings, streams: Streams, *, archive_seconds: float = 5.0) -> None:
    """Serve and archive `streams` (use case -> names) until SIGINT or SIGTERM.

    `archive_seconds` is how long events are gathered before they are archived.

    Raises
    ------
    BusError
        if no broker answers.
    ServiceError
        if the address cannot be listened on, or another process archives a use case.
    """
    listening = listen(settings.host, settings.ingestion_port, "MLPLATFORM_INGESTION_PORT")
    with ExitStack() as stack:
        bus = stack.enter_context(closing(open_bus(settings.broker_url)))
        lake = stack.enter_context(closing(Lake.from_settings(settings)))
        store = RawStore(settings.raw, lake, audit=DataAudit(settings.state_url))
        archivers = [
            stack.enter_context(closing(_archiver(settings, bus, store, name, names, archive_seconds)))
            for name, names in streams.items()
        ]
        background = Background("archiver", archivers)
        gate = Gate.from_settings(settings)
        acceptor, letters = Acceptor(bus, streams), DeadLetters(bus)
        app = application(acceptor, archivers, lifespan=background.lifespan, gate=gate, letters=letters)
        config = config_of(traced(app, settings, "ingestion"))
        # uvicorn shuts down in order and raises the signal once more; SIGTERM is to end as SIGINT does.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])


def parse(words: Sequence[str]) -> dict[str, list[str]]:
    """Streams by use case out of words `USE_CASE:STREAM`.

    Raises
    ------
    ConfigurationError
        if a word is not of that form, or a name has other characters than tables may have.
    """
    found: dict[str, list[str]] = {}
    for word in words:
        use_case, colon, stream = word.partition(":")
        if not colon:
            raise ConfigurationError(f"got {word!r}; allowed: USE_CASE:STREAM.", hint="Put a colon between.")
        Table(use_case, stream)
        Table(use_case, f"raw_{stream}")
        if stream not in found.setdefault(use_case, []):
            found[use_case].append(stream)
    return found


def _archiver(
    settings: Settings, bus: Bus, store: RawStore, use_case: str, streams: Sequence[str], seconds: float
) -> Archiver:
    lock = settings.raw / f".archiver-{use_case}.lock"
    return Archiver(bus, store, use_case, streams, lock=lock, seconds=seconds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the streams named in the arguments; the exit code."""
    try:
        settings = Settings.load()
        logs.set_up(settings, "ingestion")
        serve(settings, parse(sys.argv[1:] if arguments is None else arguments))
    except MlplatformError as error:
        logs.complain(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
