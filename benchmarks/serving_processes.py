"""A server under measurement: its process group, when it answers, and what CPU time it has used.

Linux only: CPU time is read from /proc. It must not know what is asked.
"""

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from mlplatform.crosscutting.guard import end_groups
from mlplatform.crosscutting.processes import tail
from mlplatform.errors import ServiceError

HOST = "127.0.0.1"
_TICKS = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class Server:
    """One server with a session of its own, for its CPU time and its end."""

    def __init__(
        self, command: Sequence[str], port: int, log: Path, environment: Mapping[str, str] = {}
    ) -> None:
        self.port, self._log = port, log
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
                cwd=log.parent,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def await_answer(self, request: bytes, seconds: float) -> None:
        """Wait until a request is answered with 200; ServiceError if it never is."""
        deadline = time.monotonic() + seconds
        said = "nothing"
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(OSError, http.client.HTTPException):
                status, _, body = ask(self.port, request)
                if status == 200:
                    return
                said = f"status {status}: {body[:200]!r}"
            time.sleep(0.2)
        raise ServiceError(
            f"it did not start within {seconds:g} s (said {said}). Its log ends with:\n{tail(self._log, 5)}",
            hint="Start it by hand, or leave the peers out with --no-peers.",
        )

    def cpu_seconds(self) -> float:
        """User and system time of all its processes so far."""
        return sum(_cpu_ticks(path, self._process.pid) for path in Path("/proc").glob("[0-9]*/stat")) / _TICKS

    def stop(self) -> None:
        """End it and all it started."""
        end_groups([self._process.pid], grace=5.0)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def ask(port: int, request: bytes) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers (names in lower case) and body of the answer to a request, by a new connection."""
    with socket.create_connection((HOST, port), timeout=30) as connection:
        connection.sendall(request)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()


def _cpu_ticks(stat: Path, session: int) -> int:
    try:
        fields = stat.read_bytes().rpartition(b")")[2].split()
    except OSError:  # it ended meanwhile
        return 0
    return int(fields[11]) + int(fields[12]) if int(fields[3]) == session else 0
