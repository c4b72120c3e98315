"""A model in a process of its own, as the server sees it: rows go in, and scores come out or nobody waits.

For versions that are known to be slow, and to probe those that were: whatever the model does there, the
thread of the requests goes on. It must not decide when such a process is used.
"""

import asyncio
import itertools
import os
import signal
import struct
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from mlplatform.errors import ModelError

HEADER = struct.Struct("<QQQ")
"""Of a request: number, rows, width, then the rows as float64. Of a reply: number, kind, bytes to follow."""
SCORED, NOT_SCORED = 0, 1
"""Kinds of reply: scores as float64, or the text of an error."""
Waiting = dict[int, asyncio.Future[list[float]]]
MOST_WAITING = 4
"""Requests on their way at once; more would only wait for each other and be late."""


class Busy(ModelError):
    """The process has as much to do as it may have."""


class ModelProcess:
    """The process of one candidate; started at the first request, ended by `end` or with the server."""

    def __init__(self, root: Path, use_case: str, digest: str) -> None:
        self._command = (sys.executable, "-m", "mlplatform.online.model_process", str(root), use_case, digest)
        self._process: Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._waiting: Waiting = {}
        self._numbers = itertools.count(1)
        self._starting = asyncio.Lock()
        self._retired = False

    async def score(self, rows: Sequence[Sequence[float]]) -> list[float]:
        """The scores of rows of one width; cancelling it leaves the process working, and its reply unread.

        Raises
        ------
        Busy
            if too many rows are being scored.
        ModelError
            if the model raised an error, or the process ended.
        """
        if len(self._waiting) >= MOST_WAITING:
            raise Busy(f"{MOST_WAITING} requests are with the model's process already.")
        process = await self._started()
        number, answered = next(self._numbers), asyncio.get_running_loop().create_future()
        self._waiting[number] = answered
        matrix = np.array(rows, dtype=np.float64)
        assert process.stdin is not None
        process.stdin.write(HEADER.pack(number, *matrix.shape) + matrix.tobytes())
        return await asyncio.shield(answered)

    def end(self, *, forever: bool = False) -> None:
        """Kill the process, from any thread; who waits gets a ModelError, who asks later starts it again."""
        self._retired = self._retired or forever
        process = self._process
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)

    async def _started(self) -> Process:
        async with self._starting:
            if self._retired:
                raise ModelError("the version is not in use any more.")
            if self._process is None or self._reader is None or self._reader.done():
                self._process = await asyncio.create_subprocess_exec(*self._command, stdin=PIPE, stdout=PIPE)
                self._waiting = {}
                self._reader = asyncio.create_task(_read(self._process, self._waiting))
            return self._process


async def _read(process: Process, waiting: Waiting) -> None:
    """Hand replies to those who wait for them, until the process ends."""
    assert process.stdout is not None
    try:
        while True:
            number, kind, size = HEADER.unpack(await process.stdout.readexactly(HEADER.size))
            body = await process.stdout.readexactly(size)
            answered = waiting.pop(number)
            if answered.done():
                continue
            if kind == SCORED:
                answered.set_result(np.frombuffer(body, dtype=np.float64).tolist())
            else:
                _refuse(answered, body.decode(errors="replace"))
    except asyncio.IncompleteReadError:
        await process.wait()
        for answered in waiting.values():
            _refuse(answered, "the model's process ended; the service's log has its last words.")
        waiting.clear()


def _refuse(answered: asyncio.Future[list[float]], why: str) -> None:
    if not answered.done():
        answered.set_exception(ModelError(why))
        answered.exception()  # nobody may be waiting any more; then it is no error of the loop's
