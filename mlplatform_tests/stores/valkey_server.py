"""A real Valkey or Redis server on a free port, for tests; it can be killed, paused and started again."""

import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

from mlplatform_tests.crosscutting.brokers import free_port


def valkey_program() -> str | None:
    """A server in PATH; `scripts/test-deps.sh` installs one."""
    return shutil.which("valkey-server") or shutil.which("redis-server")


class ValkeyServer:
    """Server that runs inside the `with` block; with `durable` it keeps its rows through a kill."""

    def __init__(self, program: str, folder: Path, *, durable: bool = False) -> None:
        self.port = free_port()
        self.url = f"valkey://127.0.0.1:{self.port}/0"
        self.socket_url = f"unix://{folder}/valkey.sock"
        keep = ["--appendonly", "yes", "--appendfsync", "always"] if durable else ["--appendonly", "no"]
        listen = ["--bind", "127.0.0.1", "--port", str(self.port), "--unixsocket", f"{folder}/valkey.sock"]
        self._command = [program, *listen, *keep, "--save", "", "--dir", str(folder)]
        self._log = folder / "valkey.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "ValkeyServer":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while not self._answers():
            assert time.monotonic() < deadline, f"the server does not start: {self._log.read_text()}"
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill -9 it and wait until it is gone."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def command(self, *words: str | bytes) -> bytes:
        """Send a command over a plain socket, as any program could; the answer's first bytes."""
        parts = [word.encode() if isinstance(word, str) else word for word in words]
        text = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(text)
            return connection.recv(65536)

    def _answers(self) -> bool:
        try:
            return self.command("PING") == b"+PONG\r\n"
        except OSError:
            return False
