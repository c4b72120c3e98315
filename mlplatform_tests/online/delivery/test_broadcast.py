"""Streams of answers: each in order, a slow listener told what it missed, nobody waited for."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform.errors import RequestError
from mlplatform.online.delivery.broadcast import Broadcast
from mlplatform_tests.online.delivery.test_recent import answer

USE_CASE = "returns"


def parsed(text: bytes) -> list[dict[str, str]]:
    """Events as a browser reads them; a comment is one with an empty name."""
    blocks = [block for block in text.decode().split("\n\n") if block]
    return [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]


async def read(events: AsyncIterator[bytes], until: int) -> list[dict[str, str]]:
    """At least that many events."""
    found: list[dict[str, str]] = []
    while len(found) < until:
        found += parsed(await asyncio.wait_for(anext(events), 10))
    return found


async def everything(events: AsyncIterator[bytes]) -> list[dict[str, str]]:
    """What a stream that ends has."""
    return parsed(b"".join([part async for part in events]))


def tell(broadcast: Broadcast, *ids: object) -> None:
    for id in ids:
        broadcast.tell(answer(str(id)))


def test_every_answer_of_the_use_case_in_order() -> None:
    async def run() -> None:
        broadcast = Broadcast()
        tell(broadcast, "before")
        events = broadcast.join(USE_CASE).events()
        assert await read(events, 1) == [{"retry": "2000"}]
        tell(broadcast, 1, 2)
        broadcast.tell(answer("other", use_case="another"))
        first = await read(events, 2)
        tell(broadcast, 3)
        (third,) = await read(events, 1)
        assert [event["id"] for event in [*first, third]] == ["1", "2", "3"]
        assert third["event"] == "score"
        assert third["data"].encode() == msgspec.json.encode(answer("3"))
        assert broadcast.status() == {"listening": 1, "sent": 3, "dropped": 0}

    asyncio.run(run())


def test_a_waiting_listener_is_woken_and_so_are_all() -> None:
    async def run() -> None:
        broadcast = Broadcast()
        listeners = [broadcast.join(USE_CASE).events() for _ in range(3)]
        for events in listeners:
            await read(events, 1)
        waiting = [asyncio.create_task(read(events, 1)) for events in listeners]
        await asyncio.sleep(0.01)
        tell(broadcast, "x")
        assert [event["id"] for found in await asyncio.gather(*waiting) for event in found] == ["x"] * 3

    asyncio.run(run())


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 40), max_size=6), st.integers(1, 8))
def test_what_a_slow_listener_gets_and_what_it_is_told_it_missed_is_everything(
    bursts: list[int], most: int
) -> None:
    async def run() -> list[dict[str, str]]:
        broadcast, number = Broadcast(most=most), 0
        events = broadcast.join(USE_CASE).events()
        found = await read(events, 1)
        for burst in bursts:
            tell(broadcast, *range(number, number + burst))
            number += burst
            found += await read(events, 1)
        broadcast.close()
        return found[1:] + await everything(events)

    at = 0
    for event in asyncio.run(run()):
        if event["event"] == "dropped":
            at += int(msgspec.json.decode(event["data"])["dropped"])
        else:
            assert event["id"] == str(at)
            at += 1
    assert at == sum(bursts)


def test_a_listener_goes_on_where_it_was() -> None:
    async def run() -> None:
        broadcast = Broadcast(most=4)
        broadcast.join(USE_CASE)
        tell(broadcast, *range(6))
        for last, wanted in (("4", ["5"]), ("2", ["3", "4", "5"]), ("5", []), ("0", []), ("x", [])):
            listener = broadcast.join(USE_CASE, last)
            listener.leave()
            assert await _ids(listener.events(), len(wanted)) == wanted

    asyncio.run(run())


async def _ids(events: AsyncIterator[bytes], count: int) -> list[str]:
    return [event["id"] for event in (await read(events, 1 + count))[1:]]


def test_silence_is_filled_with_comments() -> None:
    async def run() -> None:
        events = Broadcast(heartbeat=0.01).join(USE_CASE).events()
        assert (await read(events, 3))[1:] == [{"": "heartbeat"}] * 2

    asyncio.run(run())


def test_the_end_comes_after_what_was_not_read_yet() -> None:
    async def run() -> None:
        broadcast = Broadcast()
        events = broadcast.join(USE_CASE).events()
        waiting = asyncio.create_task(everything(broadcast.join(USE_CASE).events()))
        await asyncio.sleep(0.01)
        tell(broadcast, 1, 2)
        broadcast.close()
        broadcast.close()
        for found in (await everything(events), await asyncio.wait_for(waiting, 10)):
            assert [event.get("id") for event in found] == [None, "1", "2"]
        with pytest.raises(RequestError, match="the service is stopping") as caught:
            broadcast.join(USE_CASE)
        assert caught.value.status == 503

    asyncio.run(run())


def test_listeners_are_limited_and_make_room() -> None:
    async def run() -> None:
        broadcast = Broadcast(listeners=2)
        listeners: list[Any] = [broadcast.join(USE_CASE) for _ in range(2)]
        with pytest.raises(RequestError, match="2 listen already"):
            broadcast.join(USE_CASE)
        listeners[0].leave()
        broadcast.join("another")

    asyncio.run(run())
