"""A worker process as its parent sees it: started with a socket, heard, told to drain, ended.

Spawned, never forked: a fork of a process with OpenMP threads hangs. It must not decide when any of that is
due, and imports nothing heavy.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from mlplatform.crosscutting.guard import signal_group
from mlplatform.crosscutting.settings import Settings

_MOST_BYTES = 65_536


class WorkerProcess:
    """One process, from its start on.

    Parameters
    ----------
    listening : the bound socket it accepts from; stays open here as well.
    after : use cases it has to serve before it accepts a connection; None: it accepts at once.
    metrics : file that it writes what it has counted to.
    """

    def __init__(
        self,
        settings: Settings,
        use_cases: Sequence[str],
        number: int,
        listening: socket.socket,
        after: frozenset[str] | None,
        metrics: Path,
    ) -> None:
        self.metrics = metrics
        self.ready = False
        """Whether it accepts connections."""
        self.serving: frozenset[str] = frozenset()
        self._channel, theirs = socket.socketpair()
        self._channel.setblocking(False)
        self._heard = b""
        command = [sys.executable, "-m", "mlplatform.online.worker", "--number", str(number)]
        places = ["--listening", str(listening.fileno()), "--channel", str(theirs.fileno())]
        places += ["--metrics", str(metrics)]
        wanted = [] if after is None else [f"--after={','.join(sorted(after))}"]
        with theirs:
            self._process = subprocess.Popen(
                [*command, *places, *wanted, "--", *use_cases],
                env={**os.environ, "MLPLATFORM_HOME": str(settings.home)},
                stdin=subprocess.DEVNULL,
                pass_fds=(listening.fileno(), theirs.fileno()),
                start_new_session=True,  # a Ctrl-C reaches the parent alone, which ends the workers in order
            )

    @property
    def pid(self) -> int:
        """Its process id, which is its group's as well."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.poll()

    def hear(self) -> None:
        """Take in what it has said; returns at once."""
        with suppress(BlockingIOError, ConnectionResetError):
            while said := self._channel.recv(_MOST_BYTES):
                self._heard += said
        *lines, self._heard = self._heard.split(b"\n")
        for line in lines:
            self.ready, self.serving = True, frozenset(json.loads(line))

    def drain(self) -> None:
        """Tell it to accept no more and to end after its connections."""
        self._say(b"drain\n")

    def end(self) -> None:
        """Tell it to answer what is in flight and end."""
        signal_group(self.pid, signal.SIGTERM)

    def bury(self) -> None:
        """End at once what still runs of it, and wait for that."""
        signal_group(self.pid, signal.SIGKILL)
        self._process.wait()
        self._channel.close()

    def _say(self, line: bytes) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # it is dead, which its parent will see
            self._channel.send(line)
