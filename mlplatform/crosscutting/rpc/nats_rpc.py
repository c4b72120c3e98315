"""Request and reply on NATS, for callers that block.

It must not reconnect by itself: `Link` does for requests, `NatsServing` for each server.
"""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from mlplatform.crosscutting import tracing
from mlplatform.crosscutting.bus.contract import BrokerAway, BusClosed
from mlplatform.crosscutting.bus.nats_link import Link
from mlplatform.crosscutting.loop_thread import LoopThread
from mlplatform.crosscutting.rpc.contract import (
    Handler,
    HandlerFailed,
    NoReply,
    NoResponder,
    check_size,
    check_subject,
)
from mlplatform.crosscutting.rpc.nats_serving import ERROR, NatsServing

_PATIENCE = 5.0
_THREADS = 8


class NatsRpc:
    """Request and reply on the broker at `url`; raises BusError at once if none answers.

    Parameters
    ----------
    patience : seconds a call waits for a broker that went away after this was opened.
    """

    def __init__(self, url: str, *, patience: float = _PATIENCE) -> None:
        self._url, self._patience = url, patience
        self._link = Link(url, _nothing, patience=patience)
        self._lock = threading.Lock()
        self._loop: LoopThread | None = None
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="mlplatform-rpc")
        self._servings: list[BlockingServing] = []
        self._closed = False

    def serve(self, subject: str, queue: str, handler: Handler) -> "BlockingServing":
        """See `Rpc.serve`."""
        check_subject(subject, queue)
        with self._lock:
            if self._closed:
                raise BusClosed
            self._loop = self._loop or LoopThread("mlplatform-rpc")
            loop = self._loop
        serving = loop.run(self._served(subject, queue, handler))
        if not loop.run(serving.ready(self._patience)):
            loop.run(serving.stop())
            raise BrokerAway(serving.trouble, hint="Start it with `mlplatform up`.")
        opened = BlockingServing(loop, serving)
        self._servings.append(opened)
        return opened

    def request(self, subject: str, body: bytes, timeout: float) -> bytes:
        """See `Rpc.request`."""
        check_subject(subject)
        check_size("The request", body)

        known = tracing.known()
        headers = {tracing.HEADER: known} if known else None

        async def work(client: Client) -> Msg | NoResponder | NoReply:
            # Returned, since the link takes an error for a lost connection and would ask again.
            try:
                return await client.request(subject, body, timeout=timeout, headers=headers)
            except nats.errors.NoRespondersError:
                return NoResponder(subject)
            except nats.errors.TimeoutError:
                return NoReply(subject, timeout)

        reply = self._link.call(work)
        if not isinstance(reply, Msg):
            raise reply
        if reply.headers and ERROR in reply.headers:
            raise HandlerFailed(subject, reply.headers[ERROR])
        return reply.data

    def close(self) -> None:
        """See `Rpc.close`."""
        with self._lock:
            self._closed = True
        for serving in self._servings:
            serving.close()
        if self._loop is not None:
            self._loop.close()
        self._link.close()
        self._threads.shutdown(wait=False)

    async def _served(self, subject: str, queue: str, handler: Handler) -> NatsServing:
        async def answer(_: str, body: bytes) -> bytes:
            run = copy_context().run  # the handler works for whoever asked
            return await asyncio.get_running_loop().run_in_executor(self._threads, run, handler, body)

        serving = NatsServing(self._url, (subject,), queue, answer)
        serving.start()
        return serving


class BlockingServing:
    """See `Serving`."""

    def __init__(self, loop: LoopThread, serving: NatsServing) -> None:
        self._loop, self._serving = loop, serving
        self._open = True

    def close(self) -> None:
        """See `Serving.close`."""
        if self._open:
            self._open = False
            self._loop.run(self._serving.stop())


async def _nothing(_: Client) -> None:
    """A connection for requests needs no preparation."""
