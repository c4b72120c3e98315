"""Request and reply within one process, for tests and for programs without a broker.

It must not behave unlike a real broker: the contract suite tests both.
"""

import threading
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from mlplatform.crosscutting.bus.contract import BusClosed
from mlplatform.crosscutting.rpc.contract import (
    Handler,
    HandlerFailed,
    NoReply,
    NoResponder,
    check_size,
    check_subject,
)
from mlplatform.errors import BusError

_THREADS = 32


class MemoryRpc:
    """Servers and askers share this object."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._servers: dict[str, dict[str, deque[MemoryServing]]] = {}
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="mlplatform-rpc")
        self._closed = False

    def serve(self, subject: str, queue: str, handler: Handler) -> "MemoryServing":
        """See `Rpc.serve`."""
        check_subject(subject, queue)
        with self._lock:
            self._check_open()
            serving = MemoryServing(self, subject, queue, handler)
            self._servers.setdefault(subject, {}).setdefault(queue, deque()).append(serving)
        return serving

    def request(self, subject: str, body: bytes, timeout: float) -> bytes:
        """See `Rpc.request`."""
        check_subject(subject)
        check_size("The request", body)
        done, _ = wait(self._ask(subject, body), timeout, FIRST_COMPLETED)
        if not done:
            raise NoReply(subject, timeout)
        return done.pop().result()

    def close(self) -> None:
        """See `Rpc.close`."""
        with self._lock:
            self._closed = True
            self._servers.clear()
        self._threads.shutdown(wait=False)

    def remove(self, serving: "MemoryServing") -> None:
        """Send it no more requests."""
        with self._lock:
            group = self._servers.get(serving.subject, {}).get(serving.queue)
            if group and serving in group:
                group.remove(serving)

    def _ask(self, subject: str, body: bytes) -> list[Future[bytes]]:
        """Have one server of each queue handle it."""
        with self._lock:
            self._check_open()
            groups = [group for group in self._servers.get(subject, {}).values() if group]
            for group in groups:
                group.rotate(-1)
            if not groups:
                raise NoResponder(subject)
            return [self._threads.submit(group[-1].answer, body) for group in groups]

    def _check_open(self) -> None:
        if self._closed:
            raise BusClosed


class MemoryServing:
    """See `Serving`."""

    def __init__(self, rpc: MemoryRpc, subject: str, queue: str, handler: Handler) -> None:
        self.subject, self.queue = subject, queue
        self._rpc, self._handler = rpc, handler

    def answer(self, body: bytes) -> bytes:
        """The handler's reply; HandlerFailed if it raises."""
        try:
            reply = self._handler(body)
            check_size("The reply", reply)
        except BusError:
            raise
        except Exception as error:
            raise HandlerFailed(self.subject, type(error).__name__) from error
        return reply

    def close(self) -> None:
        """See `Serving.close`."""
        self._rpc.remove(self)
