"""Work that goes on in threads beside a service's requests, from the app's start to its end.

It must not know what the work is. Work that ends by itself ends the process: a service that accepts and does
nothing with it must not look well, and a supervisor starts it again.
"""

import logging
import os
import signal
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import anyio.to_thread
from fastapi import FastAPI

from mlplatform.crosscutting import tracing

_LOG = logging.getLogger(__name__)


class Work(Protocol):
    """What runs until it is told to stop."""

    use_case: str

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set."""


class Background:
    """One thread for each piece of work; `what` names it in threads and in the log."""

    def __init__(self, what: str, works: Sequence[Work]) -> None:
        self._what = what
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(work,), name=f"{what}-{work.use_case}") for work in works
        ]

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """Runs them; the end waits for what is being committed."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                await anyio.to_thread.run_sync(thread.join)

    def _run(self, work: Work) -> None:
        try:
            with tracing.within(use_case=work.use_case):
                work.run(self._stop)
        except BaseException:
            _LOG.exception("the %s of %s ended", self._what, work.use_case)
            os.kill(os.getpid(), signal.SIGTERM)
            raise
