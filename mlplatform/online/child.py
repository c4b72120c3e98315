"""Work for one request that would take the scoring process's time: a process of its own does it.

One at a time, with low priority and one thread, and not longer than it is allowed to. It must not know what
is worked at.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO

import anyio.to_thread

from mlplatform.errors import RequestError

_LOOK_SECONDS = 0.05
_NICE = 5
_QUIET = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}


@dataclass(frozen=True)
class Ended:
    """How a child ended, and what it said."""

    code: int
    out: bytes
    err: bytes


class Children:
    """Runs modules of ours, one after the other; what waits is bounded."""

    def __init__(self, most_waiting: int = 8) -> None:
        self._turn, self._waiting, self._most = asyncio.Semaphore(1), 0, most_waiting

    async def run(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        seconds: float,
        environ: Mapping[str, str] | None = None,
    ) -> Ended:
        """`python -m module arguments…`, `environ` added to this process's environment.

        It is ended when the caller is cancelled.

        Raises
        ------
        RequestError
            503 if too many wait, or if it took longer than `seconds`.
        """
        if self._waiting >= self._most:
            raise RequestError(
                f"{self._most} requests of this kind wait.", status=503, hint="Ask again later."
            )
        self._waiting += 1
        try:
            async with self._turn:
                return await _run([sys.executable, "-m", module, *arguments], dict(environ or {}), seconds)
        finally:
            self._waiting -= 1


def stand_back() -> None:
    """Said by a child of itself, first of all: what answers questions goes before it."""
    os.nice(_NICE)


async def _run(command: list[str], environ: dict[str, str], seconds: float) -> Ended:
    with TemporaryFile() as out, TemporaryFile() as err:

        def start() -> "subprocess.Popen[bytes]":
            env = {**os.environ, **_QUIET, **environ}
            return subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err)

        end, process = time.monotonic() + seconds, await anyio.to_thread.run_sync(start)
        try:
            while (code := process.poll()) is None:
                if time.monotonic() >= end:
                    raise RequestError(
                        f"it took longer than {seconds:g} s.",
                        status=503,
                        hint="Ask again when less is to do.",
                    )
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        return Ended(code, _whole(out), _whole(err))


def _whole(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()
