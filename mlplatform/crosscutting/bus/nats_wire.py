"""Requests to JetStream that nats-py does not have, or has one at a time: many answers to one question.

It must not reconnect or retry: `nats_link.py` does, on any `nats.errors.Error` raised here.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import Header

from mlplatform.crosscutting.bus.nats_inbox import Inbox, inbox
from mlplatform.crosscutting.bus.nats_link import TIMEOUT

STREAM = "mlplatform"
BATCH_BYTES = 8_000_000
IN_FLIGHT = 256
"""Messages published and not yet confirmed."""

_SLOW = 15
"""Seconds for one confirmation when the disk has all those before it to sync."""


@dataclass(frozen=True)
class Outgoing:
    """A message as it is sent; `id` is what the server recognises repeats by."""

    subject: str
    id: str
    payload: bytes


async def publish_all(client: Client, messages: Sequence[Outgoing]) -> list[int]:
    """Sequences of messages; a server stores what one connection sends in the order of sending."""
    async with inbox(client, ".*") as answers:
        sequences: dict[int, int] = {}
        for number, message in enumerate(messages):
            headers = {Header.MSG_ID.value: message.id}
            reply = f"{answers.subject[:-1]}{number}"
            await client.publish(message.subject, message.payload, reply=reply, headers=headers)
            if number - len(sequences) >= IN_FLIGHT:
                await _confirmed(answers, sequences)
        while len(sequences) < len(messages):
            await _confirmed(answers, sequences)
    return [sequences[number] for number in range(len(messages))]


async def stored(
    client: Client, subject: str, after: int, limit: int
) -> tuple[list[tuple[int, bytes]], bool]:
    """First messages of a subject behind a position, and whether there are more of them."""
    ask = {"seq": max(after, 0) + 1, "next_by_subj": subject, "batch": limit, "max_bytes": BATCH_BYTES}
    async with inbox(client) as answers:
        await client.publish(f"$JS.API.DIRECT.GET.{STREAM}", json.dumps(ask).encode(), answers.subject)
        messages, end = await _until_status(answers, limit + 1, TIMEOUT)
    found = [(int((message.headers or {})["Nats-Sequence"]), message.data) for message in messages]
    more = end is not None and int((end.headers or {}).get("Nats-Num-Pending", "0")) > 0
    return found, more


async def pull(client: Client, consumer: str, limit: int, wait: float) -> list[Msg]:
    """Up to `limit` messages of a consumer; waits for the first one only."""
    subject = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{consumer}"
    found = await _pull(client, subject, limit)
    if not found and wait > 0:
        found = await _pull(client, subject, 1, wait)
        if found and limit > 1:
            found += await _pull(client, subject, limit - 1)
    return found


async def acknowledge(client: Client, replies: Sequence[str]) -> None:
    """Acknowledge messages by their reply subjects; waits until the server has noted all of them."""
    for reply in replies[:-1]:
        await client.publish(reply, b"")
    # One consumer handles its acknowledgements in the order of arrival: the last one's answer is for all.
    await client.request(replies[-1], b"", timeout=TIMEOUT)


async def _pull(client: Client, subject: str, limit: int, wait: float = 0.0) -> list[Msg]:
    """One pull, with an inbox of its own: a filled one may get its closing status when the next is asked."""
    ask: dict[str, object] = {"batch": limit, "max_bytes": BATCH_BYTES}
    ask |= {"expires": int(wait * 1e9)} if wait else {"no_wait": True}
    async with inbox(client) as answers:
        await client.publish(subject, json.dumps(ask).encode(), answers.subject)
        messages, end = await _until_status(answers, limit, wait + TIMEOUT)
    status = None if end is None else (end.headers or {}).get("Status")
    if status in (None, "404", "408") or (status == "409" and messages):  # 409: more than max_bytes
        return messages
    raise nats.js.errors.APIError(description=f"the consumer answers {status}")


async def _until_status(answers: Inbox, most: int, patience: float) -> tuple[list[Msg], Msg | None]:
    messages: list[Msg] = []
    while len(messages) < most:
        message = await answers.next(patience)
        if is_status(message):
            return messages, message
        messages.append(message)
    return messages, None


def is_status(message: Msg) -> bool:
    """Stored messages have a reply subject or a sequence; a foreign one may have a header `Status`."""
    headers = message.headers or {}
    return "Status" in headers and not message.reply and "Nats-Sequence" not in headers


async def _confirmed(answers: Inbox, sequences: dict[int, int]) -> None:
    message = await answers.next(_SLOW)
    if message.headers and message.headers.get("Status") == "503":
        raise nats.js.errors.NoStreamResponseError
    answer = json.loads(message.data)
    if "error" in answer:
        raise nats.js.errors.APIError.from_error(answer["error"])
    sequences[int(message.subject.rpartition(".")[2])] = int(answer["seq"])
