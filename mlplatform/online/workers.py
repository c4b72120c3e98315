"""Several worker processes of the scoring service: the parent that starts, replaces and ends them.

Every worker accepts from a socket of its own on the same port, among which the kernel divides connections
(SO_REUSEPORT). The parent holds all of them, so connections that wait to be accepted outlive a worker that is
replaced. It must not load what the workers serve: it stays small, and nothing that they do can end it.
"""

import contextlib
import logging
import signal
import socket
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from types import FrameType
from uuid import uuid4

from mlplatform.crosscutting.guard import POLL_SECONDS
from mlplatform.crosscutting.guarded import Guard, signals_handled
from mlplatform.crosscutting.metrics import shared
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import ServiceError
from mlplatform.online.listening import bind_shared, listen
from mlplatform.online.metrics.families import SCORING
from mlplatform.online.pid_file import PidFile
from mlplatform.online.worker_process import WorkerProcess

_LOG = logging.getLogger(__name__)
READY_SECONDS = 120.0
"""How long a replacement may take until it serves what the worker before it serves."""
DRAIN_SECONDS = 20.0
"""How long a draining worker may live: its own limit, uvicorn's for what is in flight, and a reserve."""
GRACE_SECONDS = 8.0
"""How long workers may take to end when all of them are to."""
BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 0.5, 30.0
"""Before a dead worker is replaced; doubled with each death of the last minute."""
_DONE = object()


@dataclass
class _Slot:
    """One of the workers, whichever process is it at the moment."""

    number: int
    listening: socket.socket | None = None
    """None while the slot is empty and others serve."""
    process: WorkerProcess | None = None
    coming: WorkerProcess | None = None
    """The replacement, until it is ready."""
    leaving: WorkerProcess | None = None
    """The one that was replaced, until it has drained."""
    deaths: list[float] = field(default_factory=list)
    start_at: float = 0.0

    @property
    def serves(self) -> bool:
        return self.process is not None and self.process.ready and self.process.code is None

    @property
    def processes(self) -> list[WorkerProcess]:
        return [each for each in (self.process, self.coming, self.leaving) if each is not None]


class Workers:
    """`settings.workers` processes that serve; replaced one after the other on SIGHUP, and when they die."""

    def __init__(self, settings: Settings, use_cases: Sequence[str] = ()) -> None:
        self._settings, self._use_cases = settings, use_cases
        self._slots = [_Slot(number) for number in range(1, settings.workers + 1)]
        self._metrics = settings.home / "metrics" / f"scoring-{settings.scoring_port}"
        """Folder of what the workers have counted."""
        self._guard = Guard()
        self._stops, self._reload = 0, False
        self._reloading: Iterator[None] | None = None

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM; a second one ends what still runs at once. In the main thread only.

        Raises
        ------
        ServiceError
            if the address cannot be listened on, another parent has it, or a worker ends before it served.
        """
        with self._signals_counted(), PidFile(self._settings):
            try:
                shared.begin(self._metrics)
                self._start()
                while not self._stops:
                    self._check()
                    time.sleep(POLL_SECONDS)
            finally:
                self._end()

    def _start(self) -> None:
        listen(self._settings.host, self._settings.scoring_port).close()  # a port another has is told of
        self._guard.start()
        for slot in self._slots:
            slot.process = self._spawn(slot, after=None)
        while not self._stops and not all(slot.serves for slot in self._slots):
            self._check_first_start()
            time.sleep(POLL_SECONDS)

    def _check_first_start(self) -> None:
        for slot in self._slots:
            for process in slot.processes:
                process.hear()
                if process.code is not None:
                    raise ServiceError(
                        f"worker {slot.number} ended with code {process.code} before it served.",
                        hint="What it wrote before says why.",
                    )

    def _check(self) -> None:
        """Look after everything once; never waits."""
        for slot in self._slots:
            for each in slot.processes:
                each.hear()
            if slot.process is None:
                self._fill(slot)
            elif slot.process.code is not None:
                self._empty(slot, slot.process)
        if self._reloading is None and self._reload:
            self._reload, self._reloading = False, self._replace_all()
        if self._reloading is not None and next(self._reloading, _DONE) is _DONE:
            self._reloading = None

    def _empty(self, slot: _Slot, process: WorkerProcess) -> None:
        """A worker died: its replacement starts after a pause."""
        now = time.monotonic()
        slot.deaths = [*(died for died in slot.deaths if now - died < 60), now]
        pause = min(BACKOFF_SECONDS * 2 ** (len(slot.deaths) - 1), MAX_BACKOFF_SECONDS)
        slot.start_at = now + pause
        _LOG.warning(
            "worker %d (pid %d) ended with code %s; the next starts in %g s",
            *(slot.number, process.pid, process.code, pause),
        )
        self._bury(process)
        slot.process = None
        if slot.coming is not None:  # it holds the same socket, from which nobody accepts now
            self._bury(slot.coming)
            slot.coming = None

    def _fill(self, slot: _Slot) -> None:
        """Start the replacement of a dead worker when it is due; until then others get its connections.

        A socket from which nobody accepts swallows its share of them; only the last one is better than none.
        """
        if slot.listening is not None and any(other.serves for other in self._slots):
            slot.listening.close()
            slot.listening = None
        if time.monotonic() >= slot.start_at:
            slot.start_at = time.monotonic() + MAX_BACKOFF_SECONDS  # should it not even start
            slot.process = self._started(slot, after=frozenset())

    def _replace_all(self) -> Iterator[None]:
        """Replace one worker after the other; to be advanced now and then. Ends early if one cannot be."""
        for slot in self._slots:
            done = yield from self._replace(slot)
            if not done:
                _LOG.warning("worker %d stays: its replacement did not become ready", slot.number)
                return

    def _replace(self, slot: _Slot) -> Generator[None, None, bool]:
        old = slot.process
        if old is None:
            return True  # it died, and its replacement will be new anyway
        slot.coming = new = self._started(slot, after=old.serving)
        if new is None:
            return False
        yield from _while(lambda: slot.coming is new and not new.ready and new.code is None, READY_SECONDS)
        if slot.coming is not new:
            return True  # the old one died meanwhile
        slot.coming = None
        if not new.ready:
            self._bury(new)
            return False
        slot.process, slot.leaving = new, old
        old.drain()
        yield from _while(lambda: old.code is None, DRAIN_SECONDS)
        self._bury(old)
        slot.leaving = None
        return True

    def _started(self, slot: _Slot, after: frozenset[str]) -> WorkerProcess | None:
        """A further process of a worker; None if there is no room for it, which must not end the others."""
        try:
            return self._spawn(slot, after)
        except (OSError, ServiceError) as error:
            _LOG.warning("worker %d cannot be started: %s", slot.number, error)
            return None

    def _spawn(self, slot: _Slot, after: frozenset[str] | None) -> WorkerProcess:
        slot.listening = slot.listening or self._bind()
        metrics = self._metrics / f"{slot.number}-{uuid4().hex}.json"
        process = WorkerProcess(self._settings, self._use_cases, slot.number, slot.listening, after, metrics)
        self._guard.started(process.pid)
        return process

    def _bury(self, process: WorkerProcess) -> None:
        process.bury()
        shared.bury(process.metrics, SCORING)
        self._guard.ended(process.pid)

    def _bind(self) -> socket.socket:
        return bind_shared(self._settings.host, self._settings.scoring_port)

    def _end(self) -> None:
        """End every worker in order; at once after a second signal."""
        left = [process for slot in self._slots for process in slot.processes]
        for process in left:
            process.end()
        for _ in _while(lambda: any(process.code is None for process in left), GRACE_SECONDS):
            if self._stops > 1:
                break
            time.sleep(POLL_SECONDS)
        for process in left:
            self._bury(process)
        for slot in self._slots:
            if slot.listening is not None:
                slot.listening.close()
        self._guard.end()

    def _signals_counted(self) -> contextlib.AbstractContextManager[None]:
        def stop(number: int, frame: FrameType | None) -> None:
            self._stops += 1

        def reload(number: int, frame: FrameType | None) -> None:
            self._reload = True

        return signals_handled({signal.SIGINT: stop, signal.SIGTERM: stop, signal.SIGHUP: reload})


def _while(condition: Callable[[], bool], seconds: float) -> Iterator[None]:
    """Goes on as long as the condition is true, and no longer than `seconds`."""
    deadline = time.monotonic() + seconds
    while condition() and time.monotonic() < deadline:
        yield
