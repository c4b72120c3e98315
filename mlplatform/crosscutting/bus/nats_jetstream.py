"""The bus on NATS JetStream: one file-backed stream, subjects `mlplatform.<topic>.<use case>`.

nats-py is asyncio only, so each bus owns one thread with an event loop, from which it must not be called.
It must not leave reconnecting to nats-py, which would keep an unacknowledged message and send it after its
caller was told that it failed.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar
from urllib.parse import urlsplit

import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import Header, RawStreamMsg, StorageType, StreamConfig

from mlplatform.crosscutting.bus.contract import (
    D,
    Envelope,
    Received,
    Topic,
    Unreadable,
    collect,
    encode,
    event_id,
)
from mlplatform.errors import BusError

STREAM = StreamConfig(
    name="mlplatform",
    subjects=["mlplatform.>"],
    storage=StorageType.FILE,
    max_age=30 * 24 * 3600,
    duplicate_window=24 * 3600,
    allow_direct=True,
)
"""Times in seconds. The bus is a replay buffer: what must be kept longer is in the lake."""

_NAME = "mlplatform"
_TIMEOUT = 2
_FINAL = (nats.errors.AuthorizationError, nats.errors.MaxPayloadError, nats.js.errors.BadRequestError)

T = TypeVar("T")


class NatsBus:
    """Bus on the broker at `url`; may be used from many threads. Repeated ids are recognised for 24 hours.

    Parameters
    ----------
    url : such as `nats://127.0.0.1:4222`.
    patience : seconds a call waits for a broker that went away after this was opened.

    Raises
    ------
    BusError
        at once, if no broker answers.
    """

    def __init__(self, url: str, *, patience: float = 5.0) -> None:
        self._url = url
        self._patience = 0.0
        self._client: Client | None = None
        self._connecting = asyncio.Lock()
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="mlplatform-bus", daemon=True)
        self._thread.start()
        try:
            self._call(_ensure_stream)
        except BusError:
            self.close()
            raise
        self._patience = patience

    def publish(self, topic: Topic[D], message: Envelope[D]) -> int:
        """See `Bus.publish`."""
        payload = encode(topic, message)
        subject = f"{_NAME}.{topic.name}.{message.data.use_case}"
        headers = {Header.MSG_ID.value: event_id(topic.name, message.id)}

        async def work(stream: JetStreamContext) -> int:
            return (await stream.publish(subject, payload, headers=headers)).seq

        return self._call(work)

    def read(
        self, topic: Topic[D], after: int, limit: int, *, on_unreadable: Unreadable | None = None
    ) -> list[Received[D]]:
        """See `Bus.read`."""
        return collect(topic, self._stored(topic.name, after), limit, on_unreadable)

    def last(self, topic: Topic[D]) -> int:
        """See `Bus.last`."""
        newest = self._get(lambda stream: stream.get_msg(_NAME, subject=f"{_NAME}.{topic.name}.>"))
        return 0 if newest is None else int(newest.seq or 0)

    def close(self) -> None:
        """See `Bus.close`."""
        if self._closed:
            return
        self._closed = True
        asyncio.run_coroutine_threadsafe(self._disconnect(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _stored(self, topic: str, after: int) -> Iterator[tuple[int, bytes]]:
        def following(stream: JetStreamContext) -> Awaitable[RawStreamMsg]:
            subject = f"{_NAME}.{topic}.>"
            return stream.get_msg(_NAME, seq=max(after, 0) + 1, subject=subject, next=True, direct=True)

        while (found := self._get(following)) is not None:
            after = int(found.seq or 0)
            yield after, found.data or b""

    def _get(self, ask: Callable[[JetStreamContext], Awaitable[RawStreamMsg]]) -> RawStreamMsg | None:
        async def work(stream: JetStreamContext) -> RawStreamMsg | None:
            try:
                return await ask(stream)
            except nats.js.errors.NotFoundError:
                return None

        return self._call(work)

    def _call(self, work: Callable[[JetStreamContext], Awaitable[T]]) -> T:
        if self._closed:
            raise BusError("This bus is closed.", hint="Open another one with open_bus(url).")
        return asyncio.run_coroutine_threadsafe(self._patiently(work), self._loop).result()

    async def _patiently(self, work: Callable[[JetStreamContext], Awaitable[T]]) -> T:
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

    async def _connected(self) -> JetStreamContext:
        async with self._connecting:
            if self._client is None or not self._client.is_connected:
                await self._disconnect()
                self._client = await asyncio.wait_for(_connect(self._url), _TIMEOUT)
                await _ensure_stream(self._client.jetstream(timeout=_TIMEOUT))
            return self._client.jetstream(timeout=_TIMEOUT)

    async def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    @property
    def _address(self) -> str:
        return urlsplit(self._url).netloc.rpartition("@")[2]  # what is before the @ may be a password

    def _unreachable(self, error: Exception) -> BusError:
        return BusError(
            f"No broker answers at nats://{self._address} ({str(error) or type(error).__name__}).",
            hint="Start it with `mlplatform up`, or set MLPLATFORM_BROKER_URL to one that has JetStream on.",
        )


async def _quiet(error: Exception) -> None:
    """Take the place of nats-py's log: the caller gets the same as a BusError."""


async def _connect(url: str) -> Client:
    return await nats.connect(
        url,
        name=_NAME,
        error_cb=_quiet,
        connect_timeout=_TIMEOUT,
        allow_reconnect=False,
        max_reconnect_attempts=1,  # nats-py counts the first connection's attempts here as well
        reconnect_time_wait=0,
    )


async def _ensure_stream(stream: JetStreamContext) -> None:
    try:
        await stream.stream_info(_NAME)
    except nats.js.errors.NotFoundError:
        await stream.add_stream(STREAM)
