"""A real nats-server for tests, as `mlplatform up` starts it: embedded settings, supervised, free port."""

import asyncio
import json
import socket
import threading
import time
from pathlib import Path
from types import TracebackType

import nats

from mlplatform.crosscutting.bus.embedded import broker_process
from mlplatform.crosscutting.processes import Supervisor


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """Broker that is running, and restarted when it dies, inside the `with` block."""

    def __init__(self, home: Path) -> None:
        self.url = f"nats://127.0.0.1:{free_port()}"
        self.folder = home / "broker"
        self._ready = threading.Semaphore(0)
        self._over = threading.Event()
        self._supervisor = Supervisor([broker_process(self.url, home)], progress=self._note, backoff=0.02)
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Broker":
        self._supervisor.start()
        self._ready.acquire(timeout=10)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._supervisor.stop()

    @property
    def pid(self) -> int:
        return int((self.folder / "nats-server.pid").read_text())

    def wait_restarted(self) -> None:
        assert self._ready.acquire(timeout=20), "the broker was not restarted"

    def monitoring_url(self) -> str:
        ports = self.folder / f"nats-server_{self.pid}.ports"
        deadline = time.monotonic() + 10
        while not (ports.exists() and ports.read_text().endswith("}")):  # written after the port is open
            assert time.monotonic() < deadline, "the server wrote no ports file"
            time.sleep(0.01)
        return str(json.loads(ports.read_text())["monitoring"][0])

    def publish_bytes(self, subject: str, payload: bytes) -> int:
        """Store any bytes, as a foreign program could; returns the sequence."""

        async def publish() -> int:
            client = await nats.connect(self.url)
            try:
                return (await client.jetstream().publish(subject, payload)).seq
            finally:
                await client.close()

        return asyncio.run(publish())

    def _note(self, name: str, event: str) -> None:
        if event == "ready":
            self._ready.release()

    def _watch(self) -> None:
        while not self._over.is_set():
            self._supervisor.check()
            time.sleep(0.02)
