"""The batch scoring service, small and idle: `python -m mlplatform.online.batch_runner`.

It takes requests up one at a time, starts a process for each (`batch_scoring.py`) that ends with it, gives
a request back when its process died, announces committed days, and calls back. Requests come from the store,
where HTTP and the command line put them, and from the topic `scoring-requested`. It must not import a model
library or polars: what it waits for is loaded by the process that needs it.
"""

import argparse
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Protocol
from uuid import uuid4

from mlplatform.crosscutting import logs
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import MlplatformError
from mlplatform.online.batch_scoring import cores
from mlplatform.online.batch_telling import Push, Teller
from mlplatform.online.batch_topic import Listener
from mlplatform.stores.batch_requests import BatchRequest, BatchRequests

_LOG = logging.getLogger(__name__)
POLL_SECONDS = 0.5
GRACE_SECONDS = 5.0


class Process(Protocol):
    """A started process, as `subprocess.Popen` is one."""

    def poll(self) -> int | None:
        """Its exit code, None while it runs; negative: the signal that ended it."""

    def terminate(self) -> None:
        """Ask it to end."""

    def kill(self) -> None:
        """End it."""

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, when it has one; subprocess.TimeoutExpired after `timeout` seconds."""


Spawn = Callable[[BatchRequest, str], Process]
"""Starts the process for a request that an owner has taken up."""


class Runner:
    """Requests into processes, one at a time; `tick` does what there is to do and returns.

    Parameters
    ----------
    requests : gives the store; None where there is none yet.
    spawn : starts the process of a request.
    tell : tells of what is committed and of what ended, if there is anything new.
    only : the one request to take up; None: any.
    """

    def __init__(
        self,
        requests: Callable[[], BatchRequests | None],
        spawn: Spawn,
        tell: Callable[[BatchRequests], object] = lambda requests: None,
        *,
        only: str | None = None,
    ) -> None:
        self._requests, self._spawn, self._tell, self._only = requests, spawn, tell, only
        self._owner = f"{socket.gethostname()} {os.getpid()} {uuid4().hex[:8]}"
        self._child: tuple[BatchRequest, Process] | None = None

    def run(self, stop: threading.Event, poll: float = POLL_SECONDS) -> None:
        """Tick until `stop` is set, then end the process that scores and give its request back."""
        try:
            while not stop.is_set():
                try:
                    self.tick()
                except MlplatformError as error:
                    _LOG.warning("%s %s", error, error.hint)
                stop.wait(poll)
        finally:
            self.close()

    def tick(self) -> None:
        """Reap the process that ended, take up the next request, tell what is to be told.

        Raises
        ------
        MlplatformError
            if the store does not answer, or `tell` fails; the next tick tries again.
        """
        requests = self._requests()
        if requests is None:
            return
        self._reap(requests)
        if self._child is None and (request := requests.claim(self._owner, self._only)) is not None:
            self._child = request, self._spawn(request, self._owner)
        self._tell(requests)

    def close(self) -> None:
        """End the process that scores; its request is queued again, and the attempt does not count."""
        if self._child is None:
            return
        request, process = self._child
        process.terminate()
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._child = None
        if (requests := self._requests()) is not None:
            requests.given_back(request.id, self._owner, counts=False)

    def _reap(self, requests: BatchRequests) -> None:
        if self._child is None:
            return
        request, process = self._child
        code = process.poll()
        if code is None:
            return
        self._child = None
        # One that ended in order has noted so, and has the request no more.
        if requests.given_back(request.id, self._owner, f"its process {_ended(code)}"):
            _LOG.warning("request %s: its process %s", request.id, _ended(code))


def spawner(settings: Settings) -> Spawn:
    """Starts `batch_scoring.py` with all cores, in a fresh interpreter, its words in a log of the home."""

    def spawn(request: BatchRequest, owner: str) -> Process:
        log = settings.home / "logs" / "batch_scoring.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "mlplatform.online.batch_scoring", request.id, "--owner", owner]
        environment = {**os.environ, "MLPLATFORM_HOME": str(settings.home), "OMP_NUM_THREADS": str(cores())}
        with log.open("ab") as said:
            return subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT
            )

    return spawn


def opened(settings: Settings) -> Callable[[], BatchRequests | None]:
    """The store of a deployment, opened once there is one: a service that waits makes none."""
    found: list[BatchRequests] = []

    def requests() -> BatchRequests | None:
        if not found and settings.state_file_exists():
            found.append(BatchRequests(settings.state_url))
        return found[0] if found else None

    return requests


def serve(settings: Settings, stop: threading.Event) -> None:
    """Take requests up until `stop` is set."""
    requests = opened(settings)
    listener = threading.Thread(target=Listener(settings, requests).run, args=(stop,), name="requested")
    listener.start()
    try:
        with _webhooks(settings) as push:
            Runner(requests, spawner(settings), Teller(settings.broker_url, push)).run(stop)
    finally:
        stop.set()
        listener.join()
        if (store := requests()) is not None:
            store.close()


@contextmanager
def _webhooks(settings: Settings) -> Iterator[Push | None]:
    """What callbacks are told by; nothing where there is no secret to sign with, and then they wait."""
    if not settings.webhook_secret:
        yield None
        return
    from mlplatform.online.delivery.webhooks import Webhooks  # it is large, and idle without a secret

    webhooks = Webhooks.from_settings(settings)
    webhooks.start()
    try:
        yield webhooks.push
    finally:
        webhooks.close()


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    name = str(-code)
    with suppress(ValueError):
        name = signal.Signals(-code).name
    return f"was ended by {name}"


def start_beside(settings: Settings) -> None:
    """Start the service beside this process; it ends with it, however this one ends, also after an exec."""
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)  # nobody writes: the end of the last holder is the end of the pipe
    log = settings.home / "logs" / "batch_runner.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "mlplatform.online.batch_runner", "--beside"]
    environment = {**os.environ, "MLPLATFORM_HOME": str(settings.home)}
    with log.open("ab") as said:
        subprocess.Popen(
            command,
            env=environment,
            stdin=reading,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that a Ctrl-C in the terminal reaches the other process alone
        )
    os.close(reading)


def _until_alone(stop: threading.Event) -> None:
    sys.stdin.buffer.read()
    stop.set()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; the exit code."""
    parser = argparse.ArgumentParser(prog="mlplatform.online.batch_runner")
    parser.add_argument("--beside", action="store_true", help="end when standard input does")
    stop = threading.Event()
    if parser.parse_args(arguments).beside:
        threading.Thread(target=_until_alone, args=(stop,), daemon=True).start()

    def ended(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ended)
    try:
        settings = Settings.load()
        logs.set_up(settings, "batch scoring")
        serve(settings, stop)
    except MlplatformError as error:
        logs.complain(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
