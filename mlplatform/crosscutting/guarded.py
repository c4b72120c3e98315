"""What a parent of processes has around them: a guard that outlives it, and signals it only takes note of.

It must not know what the processes run, nor start or end them.
"""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from types import FrameType

Handler = Callable[[int, FrameType | None], None]


class Guard:
    """`guard.py` as a process: told of every process group, it ends them if this process is killed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """In a session of its own, which a Ctrl-C does not reach."""
        command = [sys.executable, "-m", "mlplatform.crosscutting.guard"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
        )

    def started(self, group: int) -> None:
        """A process group was started."""
        self._tell(f"+{group}")

    def ended(self, group: int) -> None:
        """A process group has ended."""
        self._tell(f"-{group}")

    def end(self) -> None:
        """The guard ends what is left of the groups, and itself; nothing if it was not started."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
            self._process.wait()
            self._process = None

    def _tell(self, line: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # without a guard everything but kill -9 still works
                self._process.stdin.write(f"{line}\n".encode())
                self._process.stdin.flush()


@contextlib.contextmanager
def signals_handled(handlers: Mapping[int, Handler]) -> Iterator[None]:
    """With these handlers of signals; those before are put back at the end. In the main thread only."""
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
