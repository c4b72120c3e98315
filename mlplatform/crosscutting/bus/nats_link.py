"""The connection to a NATS server, kept by us, on an event loop in a thread of its own.

It must not leave reconnecting to nats-py, which would keep an unacknowledged message and send it after its
caller was told that it failed. It must not be called from its own thread.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar
from urllib.parse import urlsplit

import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client

from mlplatform.crosscutting.bus.contract import BrokerAway, BusClosed
from mlplatform.errors import BusError

TIMEOUT = 2
"""Seconds in which a server that is there answers."""

_FINAL = (nats.errors.AuthorizationError, nats.errors.MaxPayloadError, nats.js.errors.BadRequestError)

T = TypeVar("T")
Work = Callable[[Client], Awaitable[T]]


class Link:
    """Runs coroutines over one connection, and connects again when it is lost; for use from many threads.

    Parameters
    ----------
    url : such as `nats://127.0.0.1:4222`.
    prepare : run on each new connection before anything else.
    patience : seconds a call waits for a broker that went away after the first connection.
    """

    def __init__(self, url: str, prepare: Work[None], *, patience: float) -> None:
        self._url, self._prepare = url, prepare
        self._patience = 0.0
        self._client: Client | None = None
        self._connecting = asyncio.Lock()
        self._closed = False
        self._calls: set[Future[Any]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="mlplatform-bus", daemon=True)
        self._thread.start()
        try:
            self.call(prepare)
        except BusError:
            self.close()
            raise
        self._patience = patience

    def call(self, work: Work[T]) -> T:
        """Result of `work`, which is run again on a new connection if the first one is lost meanwhile.

        Raises
        ------
        BusClosed
            if this is closed, also by another thread while the call waits.
        BusError
            if no broker answers, or it refuses.
        """
        if self._closed:
            raise BusClosed
        future = asyncio.run_coroutine_threadsafe(self._patiently(work), self._loop)
        self._calls.add(future)
        try:
            return future.result()
        except CancelledError:
            raise BusClosed from None
        finally:
            self._calls.discard(future)

    def close(self) -> None:
        """Let go of the connection; calling it again does nothing."""
        if self._closed:
            return
        self._closed = True
        for future in list(self._calls):
            future.cancel()
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _patiently(self, work: Work[T]) -> T:
        deadline = self._loop.time() + self._patience
        while True:
            try:
                return await work(await self._connected())
            except _FINAL as error:
                raise BusError(f"The broker at {self._address} refuses: {error}.") from error
            except (OSError, nats.errors.Error) as error:
                await self._disconnect()
                if self._loop.time() >= deadline:
                    raise self._unreachable(error) from error
            await asyncio.sleep(0.1)

    async def _connected(self) -> Client:
        async with self._connecting:
            if self._client is None or not self._client.is_connected:
                await self._disconnect()
                self._client = await asyncio.wait_for(_connect(self._url), TIMEOUT)
                await self._prepare(self._client)
            return self._client

    async def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _end(self) -> None:
        await self._disconnect()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def _address(self) -> str:
        return urlsplit(self._url).netloc.rpartition("@")[2]  # what is before the @ may be a password

    def _unreachable(self, error: Exception) -> BrokerAway:
        return BrokerAway(
            f"No broker answers at nats://{self._address} ({str(error) or type(error).__name__}).",
            hint="Start it with `mlplatform up`, or set MLPLATFORM_BROKER_URL to one that has JetStream on.",
        )


async def _quiet(error: Exception) -> None:
    """Take the place of nats-py's log: the caller gets the same as a BusError."""


async def _connect(url: str) -> Client:
    return await nats.connect(
        url,
        name="mlplatform",
        error_cb=_quiet,
        connect_timeout=TIMEOUT,
        allow_reconnect=False,
        max_reconnect_attempts=1,  # nats-py counts the first connection's attempts here as well
        reconnect_time_wait=0,
    )
