"""A real receiver of pushed messages: an HTTP server that answers as a test wants it to."""

import queue
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType


@dataclass(frozen=True)
class Got:
    """One request."""

    path: str
    headers: Mapping[str, str]
    body: bytes


class Receiver:
    """Serves inside the `with` block. The path says how: /ok, /status/503, /recovers/2 (500 twice, then 200),
    /later/2 (429 twice, with Retry-After: 0), /redirect (to /ok), /slow (until the end), /hangs-up."""

    def __init__(self) -> None:
        self.got: queue.Queue[Got] = queue.Queue()
        self.seen: Counter[str] = Counter()
        self.over = threading.Event()
        self.holding = threading.Semaphore(0)
        """Released once for each request to /slow."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                receiver.answer(self)

            do_GET = do_POST

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Note a request and answer it."""
        length = int(request.headers.get("content-length", "0"))
        body, path = request.rfile.read(length), request.path.partition("?")[0]
        self.seen[path] += 1
        self.got.put(Got(request.path, dict(request.headers.items()), body))
        match path.split("/")[1:]:
            case ["status", status]:
                self._send(request, int(status))
            case ["recovers", times]:
                self._send(request, 500 if self.seen[path] <= int(times) else 200)
            case ["later", times]:
                self._send(request, 429 if self.seen[path] <= int(times) else 204, {"retry-after": "0"})
            case ["redirect"]:
                self._send(request, 307, {"location": f"{self.url}/ok"})
            case ["slow"]:
                self.holding.release()
                self.over.wait(30)
                request.close_connection = True
            case ["hangs-up"]:
                request.close_connection = True
            case _:
                self._send(request, 200)

    def __enter__(self) -> "Receiver":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()

    def _send(
        self, request: BaseHTTPRequestHandler, status: int, headers: Mapping[str, str] | None = None
    ) -> None:
        request.send_response(status)
        for name, value in (headers or {}).items():
            request.send_header(name, value)
        request.send_header("content-length", "0")
        request.end_headers()
