"""The supervisor: starts the platform's processes, restarts the dead ones, leaves none behind (POSIX only).

Every process leads its own session, so a Ctrl-C in the terminal reaches the supervisor alone, which stops
them in order; `guard.py` does so when the supervisor is killed with -9. It must not know what it runs.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from mlplatform.crosscutting.guard import POLL_SECONDS, lives, signal_group
from mlplatform.crosscutting.guarded import Guard, signals_handled
from mlplatform.errors import ServiceError

MAX_DEATHS = 5
"""A process may die this often within a minute less once; then the supervisor gives up."""
MAX_BACKOFF_SECONDS = 30.0

Progress = Callable[[str, str], None]
"""Told (process name, "starting" | "ready" | "died" | "stopped")."""


@dataclass(frozen=True)
class ProcessSpec:
    """How to start one process and how to know that it works."""

    name: str
    command: tuple[str, ...]
    log: Path
    """Standard output and error are appended here."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to the supervisor's own environment."""
    ready: Callable[[], bool] | None = None
    """Asked until true; without it a process is ready when it runs."""
    port: int | None = None
    port_setting: str = ""
    """Environment variable with which a user chooses another port."""
    host: str = "127.0.0.1"


@dataclass
class _Child:
    spec: ProcessSpec
    process: subprocess.Popen[bytes] | None = None
    ready: bool = False
    deaths: list[float] = field(default_factory=list)
    restart_at: float = 0.0


class Supervisor:
    """Runs processes in the order given and stops them in the reverse one.

    Parameters
    ----------
    progress : told what happens, see `Progress`.
    ready_timeout, grace : seconds a process has to become ready, and to end after SIGTERM.
    backoff : seconds before the first restart; doubled with every further one.
    """

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        *,
        progress: Progress = lambda name, event: None,
        ready_timeout: float = 120.0,
        grace: float = 10.0,
        backoff: float = 0.5,
    ) -> None:
        self._children = [_Child(spec) for spec in specs]
        self._progress = progress
        self._ready_timeout, self._grace, self._backoff = ready_timeout, grace, backoff
        self._guard = Guard()
        self._signals = 0

    def run(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Start everything, call `on_ready`, keep it running until SIGINT, SIGTERM or SIGHUP, then stop it.

        A second signal ends what still runs at once. Must be called from the main thread. Raises what `start`
        and `check` raise, after stopping everything.
        """
        with self._signals_counted():
            try:
                self.start()
                if not self._signals:
                    on_ready()
                while not self._signals:
                    self.check()
                    time.sleep(POLL_SECONDS)
            finally:
                self.stop()

    def start(self) -> None:
        """Start every process and wait until each is ready; nothing is started if a port is taken.

        Raises
        ------
        ServiceError
            if a port is taken, a program is missing, or a process ends or is not ready in time.
        """
        for child in self._children:
            _check_port(child.spec)
        self._guard.start()
        try:
            for child in self._children:
                if not self._signals:
                    self._launch(child)
                    self._await_ready(child)
        except BaseException:
            self.stop()
            raise

    def check(self) -> None:
        """Look after every process once: notice deaths, restart what is due.

        Raises
        ------
        ServiceError
            if a process died MAX_DEATHS times within a minute; the message has the end of its log.
        """
        for child in self._children:
            if child.process is None:
                if time.monotonic() >= child.restart_at:
                    self._launch(child)
            elif child.process.poll() is not None:
                self._bury(child, child.process)
            elif not child.ready:
                self._see_ready(child)

    def stop(self) -> None:
        """End every process and its descendants, last started first; SIGKILL after the grace period."""
        for child in reversed(self._children):
            if child.process is not None:
                self._end(child, child.process, self._grace)
                self._progress(child.spec.name, "stopped")
        self._guard.end()

    def _launch(self, child: _Child) -> None:
        self._progress(child.spec.name, "starting")
        child.process = _popen(child.spec)
        self._guard.started(child.process.pid)

    def _await_ready(self, child: _Child) -> None:
        deadline = time.monotonic() + self._ready_timeout
        while not self._signals and not self._see_ready(child):
            if child.process is not None and (code := child.process.poll()) is not None:
                raise _failed(child.spec, f"ended with code {code} before it was ready")
            if time.monotonic() >= deadline:
                raise _failed(child.spec, f"was not ready after {self._ready_timeout:g} s")
            time.sleep(POLL_SECONDS)

    def _see_ready(self, child: _Child) -> bool:
        child.ready = child.spec.ready is None or child.spec.ready()
        if child.ready:
            self._progress(child.spec.name, "ready")
        return child.ready

    def _bury(self, child: _Child, process: subprocess.Popen[bytes]) -> None:
        self._progress(child.spec.name, "died")
        self._end(child, process, grace=0.0)  # what it started may still hold its port
        now = time.monotonic()
        child.deaths = [*(died for died in child.deaths if now - died < 60), now]
        if len(child.deaths) >= MAX_DEATHS:
            raise _failed(
                child.spec, f"died {MAX_DEATHS} times within a minute (last code {process.returncode})"
            )
        child.restart_at = now + min(self._backoff * 2 ** (len(child.deaths) - 1), MAX_BACKOFF_SECONDS)

    def _end(self, child: _Child, process: subprocess.Popen[bytes], grace: float) -> None:
        deadline = time.monotonic() + grace
        signal_group(process.pid, signal.SIGTERM)
        while process.poll() is None or lives(process.pid):
            if self._signals > 1 or time.monotonic() >= deadline:
                signal_group(process.pid, signal.SIGKILL)
                break
            time.sleep(POLL_SECONDS)
        process.wait()
        self._guard.ended(process.pid)
        child.process, child.ready = None, False

    def _signals_counted(self) -> contextlib.AbstractContextManager[None]:
        def count(number: int, frame: FrameType | None) -> None:
            self._signals += 1

        self._signals = 0
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup sets it
            numbers.append(signal.SIGHUP)
        return signals_handled(dict.fromkeys(numbers, count))


def tail(log: Path, lines: int = 20) -> str:
    """Last lines of a log file."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 16_384))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])


def _popen(spec: ProcessSpec) -> subprocess.Popen[bytes]:
    spec.log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **spec.environment}
    try:
        with spec.log.open("ab") as log:
            return subprocess.Popen(
                spec.command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        raise ServiceError(
            f"{spec.name} cannot be started: {error}.", hint=f"Is {spec.command[0]} installed?"
        ) from error


def _failed(spec: ProcessSpec, what: str) -> ServiceError:
    return ServiceError(
        f"{spec.name} {what}. Its log ends with:\n{tail(spec.log)}", hint=f"The whole log is {spec.log}."
    )


def _check_port(spec: ProcessSpec) -> None:
    if spec.port is None:
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is not taken
        try:
            probe.bind((spec.host, spec.port))
        except OSError as error:
            raise ServiceError(
                f"{spec.name}: port {spec.port} on {spec.host} is taken ({error.strerror}).",
                hint=f"Stop what uses it, or set {spec.port_setting or 'another port'} to a free one.",
            ) from error
