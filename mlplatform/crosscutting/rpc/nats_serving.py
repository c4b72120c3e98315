"""A server of requests on NATS (core, queue groups), on the event loop it is started on.

A broker that is away, at the start or later, is waited for in the background; then it subscribes again. It
must not raise for that, nor let a handler's error end it.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import nats
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from mlplatform.crosscutting import tracing
from mlplatform.crosscutting.rpc.contract import check_size
from mlplatform.errors import BusError

AsyncHandler = Callable[[str, bytes], Awaitable[bytes]]
"""Takes the subject and the body of a request, gives the body of the reply."""

ERROR, CODE = "Nats-Service-Error", "Nats-Service-Error-Code"
"""Headers of a reply that is an error, as NATS services have them."""
MOST = 1024
"""Requests in hand; more are refused at once."""
_CONNECT_SECONDS = 2
_PING_SECONDS = 10
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
_AWAY = (OSError, asyncio.TimeoutError, nats.errors.Error)

_LOG = logging.getLogger(__name__)


class NatsServing:
    """Answers requests on `subjects` (`*` stands for one word) with `handler`; to be used on one loop.

    Parameters
    ----------
    queue : servers of the same queue share the requests.
    most : requests in hand at once; a further one is answered by an error.
    """

    def __init__(
        self, url: str, subjects: Sequence[str], queue: str, handler: AsyncHandler, *, most: int = MOST
    ) -> None:
        self.handled, self.failed, self.refused, self.trouble = 0, 0, 0, ""
        self._url, self._subjects, self._queue, self._handler = url, subjects, queue, handler
        self._most = most
        self._connected = asyncio.Event()
        self._in_hand: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Serve from now on, in the background; returns at once."""
        self._task = asyncio.create_task(self._run(), name="rpc-serving")

    async def ready(self, seconds: float) -> bool:
        """Whether requests arrive here, waited for that long."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._connected.wait(), seconds)
        return self._connected.is_set()

    async def stop(self) -> None:
        """Take no more requests, answer those in hand, and let go."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def status(self) -> dict[str, Any]:
        """Whether requests arrive, what was handled, what was refused, and what is wrong."""
        return {
            "connected": self._connected.is_set(),
            "handled": self.handled,
            "failed": self.failed,
            "refused": self.refused,
            "in_hand": len(self._in_hand),
            "trouble": self.trouble,
        }

    async def _run(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._serve()
                self.trouble, pause = "The connection to the broker was lost.", _FIRST_PAUSE
            except Exception as error:  # noqa: BLE001  (whatever it is, the rest of the service goes on)
                address = urlsplit(self._url).netloc.rpartition("@")[2]  # before the @ may be a password
                said = f"No broker answers at {address} ({str(error) or type(error).__name__})."
                if said != self.trouble:
                    _LOG.warning("requests over the broker wait: %s", said)
                self.trouble = said
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _serve(self) -> None:
        """Serve over one connection until it is lost."""
        lost = asyncio.Event()
        taken: list[Subscription] = []
        client = await asyncio.wait_for(_connect(self._url, lost), _CONNECT_SECONDS + 1)
        try:
            taken = [await self._subscribe(client, subject) for subject in self._subjects]
            await client.flush(_CONNECT_SECONDS)
            self.trouble = ""
            self._connected.set()
            await lost.wait()
        except asyncio.CancelledError:
            await self._finish(taken)
            raise
        finally:
            self._connected.clear()
            await client.close()

    async def _finish(self, taken: Sequence[Subscription]) -> None:
        """Take what the broker has sent already, and answer it."""
        with suppress(*_AWAY):
            for subscription in taken:
                await asyncio.wait_for(subscription.drain(), _CONNECT_SECONDS)  # type: ignore[no-untyped-call]
        if self._in_hand:
            await asyncio.wait(self._in_hand, timeout=_CONNECT_SECONDS)

    async def _subscribe(self, client: Client, subject: str) -> Subscription:
        async def came(message: Msg) -> None:
            if len(self._in_hand) >= self._most:
                self.refused += 1
                await _reply(client, message, b"", f"{self._most} requests are being handled", "503")
                return
            task = asyncio.create_task(self._answer(client, message))
            self._in_hand.add(task)
            task.add_done_callback(self._in_hand.discard)

        return await client.subscribe(subject, queue=self._queue, cb=came)

    async def _answer(self, client: Client, message: Msg) -> None:
        body, said = b"", ""
        tracing.asked((message.headers or {}).get(tracing.HEADER))
        try:
            body = await self._handler(message.subject, message.data)
            check_size("The reply", body)
        except BusError as error:
            body, said = b"", str(error)
        except Exception as error:  # noqa: BLE001  (whoever asked is told; the next request is served)
            _LOG.exception("a request on %s failed", message.subject)
            said = type(error).__name__
        self.handled += not said
        self.failed += bool(said)
        await _reply(client, message, body, said, "500")


async def _reply(client: Client, message: Msg, body: bytes, error: str, code: str) -> None:
    if not message.reply:
        return
    headers = {ERROR: error[:500].replace("\n", " "), CODE: code} if error else None
    with suppress(*_AWAY):  # whoever asked waits no longer than its timeout
        await client.publish(message.reply, body, headers=headers)


async def _quiet(error: Exception) -> None:
    """Take the place of nats-py's log: `trouble` says it."""


async def _connect(url: str, lost: asyncio.Event) -> Client:
    async def closed() -> None:
        lost.set()

    return await nats.connect(
        url,
        name="mlplatform-rpc",
        error_cb=_quiet,
        closed_cb=closed,
        connect_timeout=_CONNECT_SECONDS,
        allow_reconnect=False,
        max_reconnect_attempts=1,  # nats-py counts the first connection's attempts here as well
        reconnect_time_wait=0,
        ping_interval=_PING_SECONDS,
        # Every command is written at once. nats-py's `flush` and `drain` send their PING ahead of commands
        # that wait to be written: they would return before the broker knows of a subscription, or its end.
        pending_size=1,
        flush_timeout=_CONNECT_SECONDS,
    )
