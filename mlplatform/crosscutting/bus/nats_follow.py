"""Follows one topic on NATS JetStream with the least delay: one long request, answered message by message.

A consumer in the server's memory, made anew behind the last message taken whenever the connection or the
consumer was lost, so nothing is left out. It must not acknowledge, nor leave anything durable behind.
"""

import json
from contextlib import suppress
from typing import Generic

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from mlplatform.crosscutting.bus.codec import collect
from mlplatform.crosscutting.bus.contract import D, Received, Topic, Unreadable
from mlplatform.crosscutting.bus.nats_inbox import Inbox
from mlplatform.crosscutting.bus.nats_link import TIMEOUT, Link
from mlplatform.crosscutting.bus.nats_wire import BATCH_BYTES, STREAM, is_status

_BATCH = 512
"""Messages of one request."""
_EXPIRES = 20.0
"""Seconds after which the server ends a request that is not filled, and another is made."""
_IDLE = 120.0
"""Seconds without a request after which the server forgets the consumer."""
_ENDED = ("404", "408", "409")


class NatsFollowing(Generic[D]):
    """See `Following`."""

    def __init__(self, link: Link, topic: Topic[D], after: int) -> None:
        self._link, self._topic, self._after = link, topic, max(after, 0)
        self._seen: Client | None = None
        self._consumer = ""
        self._answers: Inbox | None = None
        self._subscription: Subscription | None = None
        self._left = 0
        link.call(self._ready)

    def fetch(self, limit: int, wait: float, *, on_unreadable: Unreadable | None = None) -> list[Received[D]]:
        """See `Following.fetch`."""

        async def work(client: Client) -> list[tuple[int, bytes]]:
            return await self._taken(await self._ready(client), client, limit, wait)

        stored = self._link.call(work)
        return collect(self._topic, stored, len(stored), on_unreadable)

    def close(self) -> None:
        """See `Following.close`."""

        async def work(client: Client) -> None:
            if client is self._seen and self._subscription is not None:
                with suppress(nats.errors.Error):  # a consumer that is left is forgotten by the server
                    await self._subscription.unsubscribe()
                    await client.jetstream(timeout=TIMEOUT).delete_consumer(STREAM, self._consumer)
            self._seen = None

        if self._seen is not None and self._seen.is_connected:
            self._link.call(work)

    async def _taken(
        self, answers: Inbox, client: Client, limit: int, wait: float
    ) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        while len(found) < limit:
            if found and not answers.has_one():
                break
            try:
                message = await answers.next(wait)
            except nats.errors.TimeoutError:
                break
            if is_status(message):
                await self._ended(message, client)
            elif (sequence := message.metadata.sequence.stream) > self._after:
                self._after, self._left = sequence, self._left - 1
                found.append((sequence, message.data))
        if self._left <= _BATCH // 2:
            await self._ask(client)
        return found

    async def _ended(self, message: Msg, client: Client) -> None:
        """A request ended; of any other reason than its time or its size the consumer is made anew."""
        status = (message.headers or {}).get("Status", "")
        if status not in _ENDED:
            self._seen = None
            raise nats.errors.Error(f"the consumer answers {status}")
        pending = (message.headers or {}).get("Nats-Pending-Messages")
        self._left = max(0, self._left - int(pending or _BATCH))
        if self._left == 0:
            await self._ask(client)

    async def _ready(self, client: Client) -> Inbox:
        if self._seen is not client or self._answers is None:
            self._answers = Inbox(client, client.new_inbox())
            self._subscription = await client.subscribe(self._answers.subject, cb=self._answers.take)
            made = await client.jetstream(timeout=TIMEOUT).add_consumer(STREAM, self._config())
            self._consumer, self._left, self._seen = made.name, 0, client
            await self._ask(client)
        return self._answers

    async def _ask(self, client: Client) -> None:
        assert self._answers is not None  # `_ready` made it
        ask = {"batch": _BATCH, "max_bytes": BATCH_BYTES, "expires": int(_EXPIRES * 1e9)}
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{self._consumer}"
        await client.publish(subject, json.dumps(ask).encode(), self._answers.subject)
        self._left += _BATCH

    def _config(self) -> ConsumerConfig:
        return ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=self._after + 1,
            ack_policy=AckPolicy.NONE,
            filter_subject=f"{STREAM}.{self._topic.name}.>",
            inactive_threshold=_IDLE,
            mem_storage=True,
        )
