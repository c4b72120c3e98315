"""A real HTTP server in a thread that gives what a test says, and remembers what it was asked."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Answer:
    """What is given for a path; `length` (None: the true one) is what is told of the body."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None
    times: int = 1


@dataclass
class Server:
    """Answers by path (404 elsewhere), and (path, headers) of every request."""

    url: str
    answers: dict[str, Answer]
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)


@contextmanager
def serving(answers: Mapping[str, Answer]) -> Iterator[Server]:
    """The server, at a free port of this machine, inside the `with` block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    served = Server(f"http://127.0.0.1:{server.server_port}", dict(answers))
    server.RequestHandlerClass = _handler(served)
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02))
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(served: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            answer = served.answers.get(self.path.partition("?")[0], Answer(b"nothing here", 404))
            self.send_response(answer.status)
            length = len(answer.body) * answer.times if answer.length is None else answer.length
            for name, value in {"Content-Length": str(length), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            for _ in range(answer.times):
                self.wfile.write(answer.body)

        log_message: Callable[..., None] = lambda *arguments: None

    return Handler
