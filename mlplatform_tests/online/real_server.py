"""A real uvicorn server in a thread of the test, on a free port, configured as the service is."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from mlplatform.online.listening import listen
from mlplatform.online.replies import ASGIApp
from mlplatform.online.server import config_of

SECONDS = 60


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """Serve an app; gives `host:port`."""
    listening = listen("127.0.0.1", 0)
    server = uvicorn.Server(config_of(app))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + SECONDS
        while not server.started:
            assert thread.is_alive(), "the server ended"
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.01)
        host, port = listening.getsockname()[:2]
        yield f"{host}:{port}"
    finally:
        server.should_exit = True
        thread.join(SECONDS)
        listening.close()
