"""One worker process of the scoring service; `workers.py` starts it with a socket to accept connections from.

It tells its parent what it serves once it accepts connections, and drains when it is told to. With `--after`
it accepts none before it serves at least those use cases. It must not bind a socket or know other workers.
"""

import argparse
import asyncio
import json
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from mlplatform.crosscutting import logs
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import MlplatformError
from mlplatform.online.graceful import GracefulServer
from mlplatform.online.releases import Releases
from mlplatform.online.server import config_of, served_app

DRAIN = b"drain"
LONGEST_DRAIN = 10.0
"""Seconds a draining worker waits for its connections; uvicorn ends those that idle after 5."""
_LOOK_SECONDS = 0.5
_TICK_SECONDS = 0.02
_CLOSE = (b"connection", b"close")


def load(releases: Releases, after: Sequence[str]) -> None:
    """Look for releases until every use case of `after` is served; at least once."""
    releases.poll()
    while not set(after) <= set(releases.current):
        time.sleep(_LOOK_SECONDS)
        releases.poll()


async def work(
    server: GracefulServer, listening: socket.socket, channel: socket.socket, releases: Releases
) -> None:
    """Serve until a signal, an order to drain that was carried out, or the end of the parent."""
    reader, writer = await asyncio.open_unix_connection(sock=channel)
    beside = [
        asyncio.create_task(_tell(server, writer, releases)),
        asyncio.create_task(_obey(server, reader)),
    ]
    try:
        await server.serve([listening])
    finally:
        for task in beside:
            task.cancel()


async def drain(server: GracefulServer, seconds: float = LONGEST_DRAIN) -> None:
    """Accept no more, and end every connection with its next answer; returns when none is left, or in time.

    Closing a connection between two answers could lose a request that is on its way; so each gets one answer
    more, which says that it is the last. Streams end at once, for they have no next answer.
    """
    for accepting in server.servers:
        accepting.close()
    server.end_streams()
    server.config.encoded_headers.append(_CLOSE)  # uvicorn makes its default headers from these every second
    server.server_state.default_headers.append(_CLOSE)  # in place: requests in flight hold this very list
    deadline = time.monotonic() + seconds
    while server.server_state.connections and time.monotonic() < deadline:
        await asyncio.sleep(_TICK_SECONDS)


async def _obey(server: GracefulServer, reader: asyncio.StreamReader) -> None:
    if (await reader.readline()).strip() == DRAIN:
        await drain(server)
    server.should_exit = True  # also at the end of the file: the parent is gone


async def _tell(server: GracefulServer, writer: asyncio.StreamWriter, releases: Releases) -> None:
    """One line for every change of what is served, from the moment connections are accepted."""
    while not server.started:
        await asyncio.sleep(_TICK_SECONDS)
    told: list[str] | None = None
    while True:
        serving = sorted(releases.current)
        if serving != told:
            writer.write(json.dumps(serving).encode() + b"\n")
            told = serving
        await asyncio.sleep(_LOOK_SECONDS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve on the socket that was inherited; the exit code."""
    options = _options(arguments)
    try:
        settings = Settings.load()
        logs.set_up(settings, "scoring", worker=options.number)
        releases, app = served_app(settings, options.use_cases, options.number, options.metrics)
    except MlplatformError as error:
        logs.complain(error)
        return 1
    if options.after is not None:
        load(releases, options.after.split(",") if options.after else [])
    config = config_of(app)
    listening, channel = socket.socket(fileno=options.listening), socket.socket(fileno=options.channel)
    with suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(work(GracefulServer(config), listening, channel, releases))
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, required=True)
    parser.add_argument("--listening", type=int, required=True, help="descriptor of the bound socket")
    parser.add_argument("--channel", type=int, required=True, help="descriptor of a socket to the parent")
    parser.add_argument("--metrics", type=Path, help="file to write what was counted to")
    parser.add_argument("--after", help="use cases, with commas, that must be served first; may be empty")
    parser.add_argument("use_cases", nargs="*")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
