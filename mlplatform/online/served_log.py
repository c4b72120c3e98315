"""The log of what was served: answers go into a bounded buffer, one thread writes them to the lake.

Whoever answers pays one append. An answer that cannot be kept (the buffer is full, or the lake refuses for
longer than `patience`) is counted in `lost` and told of in `trouble`. It must not slow down or fail an
answer, unless who is asked wants to wait for the lake (`settled`).
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import uuid4

from mlplatform.crosscutting.clock import utc_now
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import MlplatformError, RequestError
from mlplatform.online.replies import sentence
from mlplatform.stages.preparation.declarations import FactType
from mlplatform.stages.scoring.score import Answer
from mlplatform.stores.lake import Lake, Table, Write
from mlplatform.stores.served import SERVED, Served, frame, packed

_LOG = logging.getLogger(__name__)
MOST_A_WRITE = 20_000
"""Answers of one transaction."""
_RENEWED_AFTER = 10
"""Writes after which the lake is opened anew: a connection keeps about 1 MB of each commit (measured)."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0

WriteAll = Callable[[Sequence[Write]], None]
Told = Callable[[Sequence[Write], int], None]


class ServedLog:
    """Answers on their way to the lake; `start` it, and `close` it: that writes what is left.

    Parameters
    ----------
    write : writes to the lake, all or nothing.
    most : answers kept in memory while the lake is slow or away.
    seconds : how long answers are gathered before they are written.
    patience : seconds after which answers that the lake refuses are given up.
    told : called with what was committed and the number of lost answers; it must neither wait nor raise.
    """

    def __init__(
        self,
        write: WriteAll,
        *,
        most: int = 100_000,
        seconds: float = 10.0,
        patience: float = 300.0,
        told: Told = lambda writes, lost: None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.written, self.lost, self.trouble = 0, 0, ""
        self._write, self._most, self._seconds, self._patience = write, most, seconds, patience
        self._told, self._clock = told, clock
        self._waiting: deque[Served] = deque()
        self._stop, self._hurry = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._end: Callable[[], None] = lambda: None
        self._added, self._done, self._commits = 0, 0, 0
        self._settling: deque[tuple[int, int, asyncio.Future[bool], asyncio.AbstractEventLoop]] = deque()

    @classmethod
    def from_settings(cls, settings: Settings, told: Told = lambda writes, lost: None) -> "ServedLog":
        """The log of a deployment, on a lake of its own."""
        lake = Lake.from_settings(settings)
        log = cls(lake.write_all, told=told)
        log._end = lake.close
        return log

    def add(
        self,
        types: Mapping[str, FactType],
        facts: Mapping[str, Any],
        row: list[float],
        answer: Answer,
        seconds: float = 0.0,
        because: str = "",
    ) -> None:
        """Keep an answer, what was asked (times as µs), the encoded row, how it was served; never waits."""
        if len(self._waiting) < self._most:
            self._waiting.append((types, facts, packed(row), answer, time.time(), seconds, because))
            self._added += 1
        else:
            self.lost += 1
            self.trouble = self.trouble or f"The buffer of {self._most} answers is full."

    async def settled(self, seconds: float = 10.0) -> None:
        """Wait until every answer that was added so far is in the lake.

        Raises
        ------
        RequestError
            503 if some of them are not within `seconds`, or are lost.
        """
        loop = asyncio.get_running_loop()
        written: asyncio.Future[bool] = loop.create_future()
        self._settling.append((self._added, self.lost, written, loop))
        self._hurry.set()
        try:
            kept = await asyncio.wait_for(written, seconds)
        except TimeoutError:
            kept = False
        if not kept:
            raise RequestError(
                f"the answer could not be logged: {self.trouble or 'the lake takes too long.'}",
                status=503,
                hint="With `serving: {log: async}` answers do not wait for the log.",
            )

    def start(self) -> None:
        """Write in a thread until `close`."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="served-log", daemon=True)
        self._thread.start()

    def close(self, seconds: float = 5.0) -> None:
        """Write what is left, for about `seconds` at most; what cannot be written by then is lost."""
        self._stop.set()
        self._hurry.set()
        if self._thread is not None:
            self._thread.join(timeout=seconds)
        else:
            self.flush()
        self._end()

    def status(self) -> dict[str, Any]:
        """What was written, waits and was lost, and why."""
        waiting = len(self._waiting)
        return {"written": self.written, "waiting": waiting, "lost": self.lost, "trouble": self.trouble}

    def flush(self) -> None:
        """Write what waits now, by the calling thread."""
        left = len(self._waiting)
        while left > 0:
            batch = [self._waiting.popleft() for _ in range(min(left, MOST_A_WRITE))]
            left -= len(batch)
            self._keep(batch)
            self._done += len(batch)
        self._settle()

    def _settle(self) -> None:
        """Tell those who wait for what is done by now."""
        while self._settling and self._settling[0][0] <= self._done:
            _, lost, written, loop = self._settling.popleft()
            with suppress(RuntimeError):  # the loop of one who waited is closed
                loop.call_soon_threadsafe(_answer, written, self.lost == lost)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._hurry.wait(self._seconds)
            self._hurry.clear()
            self.flush()
        self.flush()

    def _keep(self, batch: list[Served]) -> None:
        """Write a batch; tries again for `patience` seconds, or once when the log is being closed."""
        # Its own partition: the batch replaces nothing but itself, if a commit that seemed to fail was made.
        partition = f"{self._clock():%Y-%m-%d}-{uuid4().hex}"
        deadline, pause = time.monotonic() + self._patience, _FIRST_PAUSE
        while True:
            try:
                writes = _writes(batch, partition)
                self._write(writes)
            except MlplatformError as error:
                self.trouble = sentence(error)
                if self._stop.is_set() or time.monotonic() >= deadline:
                    self.lost += len(batch)
                    _LOG.error("%d served answers are not logged: %s", len(batch), self.trouble)
                    return
                self._stop.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                self.written += len(batch)
                self.trouble = ""
                self._told(writes, self.lost)
                self._commits += 1
                if self._commits % _RENEWED_AFTER == 0:
                    self._end()  # the next write opens it again
                return


def _answer(written: asyncio.Future[bool], kept: bool) -> None:
    if not written.done():
        written.set_result(kept)


def _writes(batch: Sequence[Served], partition: str) -> list[Write]:
    """One write per use case; another release may have other facts, and then a partition of its own."""
    groups: dict[tuple[str, tuple[tuple[str, FactType], ...]], list[Served]] = {}
    for served in batch:
        groups.setdefault((served[3].use_case, tuple(served[0].items())), []).append(served)
    writes = []
    for number, ((use_case, _), members) in enumerate(groups.items()):
        own = f"{partition}-{number}"
        writes.append(Write(Table(use_case, SERVED), frame(members, own), [own], evolve=True))
    return writes
