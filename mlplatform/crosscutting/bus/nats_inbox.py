"""Many answers to one request over NATS.

It must not know what the answers mean, nor reconnect.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

_LOOK = 0.1
"""Seconds between two looks at the connection while nothing comes."""


class Inbox:
    """The messages that came, in order; nats-py's own way to wait makes a task and a timer for each."""

    def __init__(self, client: Client, subject: str) -> None:
        self.subject = subject
        self._client = client
        self._messages: deque[Msg] = deque()
        self._came = asyncio.Event()

    async def take(self, message: Msg) -> None:
        """A message came."""
        self._messages.append(message)
        self._came.set()

    def has_one(self) -> bool:
        """Whether `next` would return at once."""
        return bool(self._messages)

    async def next(self, patience: float) -> Msg:
        """The next message; raises nats-py's TimeoutError or ConnectionClosedError if there is none."""
        deadline = time.monotonic() + patience
        while not self._messages:
            self._came.clear()
            if self._client.is_closed:
                raise nats.errors.ConnectionClosedError
            if time.monotonic() > deadline:
                raise nats.errors.TimeoutError
            with suppress(asyncio.TimeoutError):  # to look whether there is a connection still
                await asyncio.wait_for(self._came.wait(), _LOOK)
        return self._messages.popleft()


@asynccontextmanager
async def inbox(client: Client, suffix: str = "") -> AsyncIterator[Inbox]:
    """A subject of its own for the answers to what is asked meanwhile."""
    opened = Inbox(client, client.new_inbox() + suffix)
    subscription = await client.subscribe(opened.subject, cb=opened.take)
    try:
        yield opened
    finally:
        with suppress(nats.errors.Error):  # the connection may be gone, and the inbox with it
            await subscription.unsubscribe()
