"""A load of requests over keep-alive connections that checks every answer; lean, as servers are.

    await run("127.0.0.1", 8080, requests, connections=16, seconds=10, check=check)

or in a process of its own, with the requests in a file (`write_requests`): `python -m benchmarks.load HOST
PORT FILE --connections 16 --seconds 10`. Answers must have a content-length. A connection that says
`Connection: close` is replaced; one that ends while an answer is owed is a failure.
"""

import argparse
import asyncio
import json
import sys
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import uvloop

PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100)
Check = Callable[[int, int, bytes], str]
"""Gets the index of the request, the status and the body; says what is wrong with the answer, or nothing."""
_AGAIN_SECONDS = 0.01


def post(path: str, body: bytes, host: str = "127.0.0.1", headers: str = "") -> bytes:
    """A whole request; `headers` are further lines, each with its line end."""
    head = f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n{headers}"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def is_ok(index: int, status: int, body: bytes) -> str:
    """The least of checks: the status is 200."""
    return "" if status == 200 else f"status {status}: {body[:200].decode(errors='replace')}"


@dataclass
class Result:
    """What became of a load."""

    seconds: float = 0.0
    latencies: "array[float]" = field(default_factory=lambda: array("d"))
    """Seconds from sending a request to the end of its answer, for every answer, right or wrong."""
    failures: list[str] = field(default_factory=list)
    """Wrong answers, answers that never came, connections that could not be made."""
    connects: int = 0
    """Connections made."""

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def percentile(self, q: float) -> float:
        """The latency in seconds below which `q` per cent of the answers were; NaN without answers."""
        return float(np.percentile(np.frombuffer(self.latencies), q)) if self.latencies else float("nan")


async def run(
    host: str,
    port: int,
    requests: Sequence[bytes],
    connections: int,
    *,
    seconds: float | None = None,
    count: int | None = None,
    stop: asyncio.Event | None = None,
    check: Check = is_ok,
    patience: float = 30.0,
) -> Result:
    """Keep `connections` busy with the requests, in turn, for `seconds`, until `count` were sent, or `stop`.

    Answers that have not come `patience` seconds after the end are failures.
    """
    load = _Load(host, port, requests, check, count, asyncio.get_running_loop())
    started = time.perf_counter()
    for _ in range(connections):
        load.open()
    if seconds is not None:
        load.loop.call_later(seconds, load.stop)
    if stop is not None:
        waiting = load.loop.create_task(stop.wait())
        waiting.add_done_callback(lambda _: load.stop())
    await load.sent_all.wait()
    ended = time.perf_counter()
    try:
        await asyncio.wait_for(load.answered_all.wait(), patience)
        ended = time.perf_counter()
    except TimeoutError:
        load.result.failures += [f"no answer within {patience:g} s"] * load.owed
    load.result.seconds = ended - started
    load.close()
    return load.result


class _Load:
    def __init__(
        self,
        host: str,
        port: int,
        requests: Sequence[bytes],
        check: Check,
        count: int | None,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.host, self.port, self.requests, self.check, self.loop = host, port, requests, check, loop
        self.left = sys.maxsize if count is None else count
        self.sent, self.owed = 0, 0
        self.closed = False
        self.result = Result()
        self.sent_all, self.answered_all = asyncio.Event(), asyncio.Event()
        self._connections: set[_Connection] = set()
        self._opening: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        self.left = 0
        self.sent_all.set()
        self.settle()

    def settle(self) -> None:
        if self.left <= 0 and self.owed == 0:
            self.sent_all.set()
            self.answered_all.set()

    def open(self) -> None:
        task = self.loop.create_task(self._open())
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self) -> None:
        while self.left > 0:
            try:
                _, made = await self.loop.create_connection(lambda: _Connection(self), self.host, self.port)
            except OSError as error:
                self.result.failures.append(f"connecting: {error}")
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                self._connections.add(made)
                self.result.connects += 1
                return

    def lost(self, connection: "_Connection") -> None:
        self._connections.discard(connection)
        if self.left > 0:
            self.open()

    def close(self) -> None:
        self.left, self.closed = 0, True
        for task in self._opening:
            task.cancel()
        for connection in list(self._connections):
            connection.transport.abort()


class _Connection(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._buffer = b""
        self._index, self._sent_at = -1, 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._send()

    def _send(self) -> None:
        load = self._load
        if load.left <= 0:
            self.transport.close()
            return
        load.left -= 1
        load.owed += 1
        self._index = load.sent % len(load.requests)
        load.sent += 1
        if load.left == 0:
            load.sent_all.set()
        self._sent_at = time.perf_counter()
        self.transport.write(load.requests[self._index])

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._buffer = data
            return
        head = data[:end].lower()
        at = head.find(b"\r\ncontent-length:")
        if at < 0:
            self._answered(0, b"an answer without content-length", last=True)
            return
        line_end = head.find(b"\r\n", at + 2)
        length = int(head[at + 17 : line_end if line_end >= 0 else end])
        if len(data) < end + 4 + length:
            self._buffer = data
            return
        self._buffer = b""
        self._answered(int(data[9:12]), data[end + 4 :], last=b"\r\nconnection: close" in head)

    def _answered(self, status: int, body: bytes, *, last: bool) -> None:
        load, index = self._load, self._index
        load.result.latencies.append(time.perf_counter() - self._sent_at)
        self._index = -1
        load.owed -= 1
        if wrong := load.check(index, status, body):
            load.result.failures.append(wrong)
        if last:
            self.transport.close()
        else:
            self._send()
        load.settle()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._index >= 0 and not self._load.closed:
            self._load.owed -= 1
            self._load.result.failures.append(f"the connection ended before the answer: {exc or 'closed'}")
            self._index = -1
        self._load.lost(self)
        self._load.settle()


def write_requests(path: Path, requests: Sequence[bytes]) -> None:
    """Requests for a client in a process of its own; each is its length in digits, a line end, its bytes."""
    path.write_bytes(b"".join(b"%d\n%s" % (len(request), request) for request in requests))


def read_requests(path: Path) -> list[bytes]:
    """What `write_requests` wrote."""
    data, at, requests = path.read_bytes(), 0, []
    while at < len(data):
        line_end = data.index(b"\n", at)
        begin = line_end + 1
        at = begin + int(data[at:line_end])
        requests.append(data[begin:at])
    return requests


def main() -> None:
    """Put a load on a server and print one JSON object: answers a second, milliseconds, failures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("requests", type=Path)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    requests = read_requests(options.requests)
    done = uvloop.run(run(options.host, options.port, requests, options.connections, seconds=options.seconds))
    milliseconds = {str(q): round(done.percentile(q) * 1000, 4) for q in PERCENTILES}
    report = {"answers": len(done.latencies), "seconds": done.seconds, "milliseconds": milliseconds}
    print(json.dumps({**report, "failures": len(done.failures), "first_failures": done.failures[:3]}))


if __name__ == "__main__":
    main()
