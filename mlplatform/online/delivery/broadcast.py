"""Answers as server-sent events, for whoever listens.

Whoever answers pays one entry of a ring; each listener reads the ring at its own speed, and one that falls
behind by more than the ring holds is told how many events it missed. It must not wait for a listener, and is
used on the event loop that answers.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from mlplatform.errors import RequestError
from mlplatform.online.replies import encode
from mlplatform.stages.scoring.score import Answer

MOST = 1024
"""Answers of one use case that a listener may be behind."""
LISTENERS = 256
HEARTBEAT = 15.0
"""Seconds of silence after which a comment is sent, which shows a connection that broke."""
_TOGETHER = 64
"""Events of one write."""
_OPENED = b"retry: 2000\n\n"
_HEARTBEAT = b": heartbeat\n\n"


class Broadcast:
    """Streams of answers by use case; `close` ends them.

    Parameters
    ----------
    most : answers that a listener may be behind.
    listeners : at once; a further one is refused.
    """

    def __init__(self, *, most: int = MOST, listeners: int = LISTENERS, heartbeat: float = HEARTBEAT) -> None:
        self.sent, self.dropped, self.listening = 0, 0, 0
        self._most, self._listeners, self._heartbeat = most, listeners, heartbeat
        self.channels: dict[str, Channel] = {}
        """Of the use cases that were ever listened to."""
        self._closed = False

    def tell(self, answer: Answer) -> None:
        """Let the listeners of its use case know of an answer; costs nothing where nobody ever listened."""
        channel = self.channels.get(answer.use_case)
        if channel is not None:
            channel.add(answer)

    def join(self, use_case: str, last_id: str | None = None) -> "Listener":
        """A listener from now on, or behind the answer `last_id` if that is still known; see `leave`.

        Raises
        ------
        RequestError
            503 if there are too many, or the service stops.
        """
        if self._closed or self.listening >= self._listeners:
            why = "the service is stopping" if self._closed else f"{self.listening} listen already"
            raise RequestError(f"{why}.", status=503, hint="Try again in a few seconds.")
        channel = self.channels.setdefault(use_case, Channel(self._most))
        self.listening += 1
        return Listener(self, channel, channel.after(last_id), self._heartbeat)

    def close(self) -> None:
        """End every stream after what its listener has not read yet."""
        self._closed = True
        for channel in self.channels.values():
            channel.close()

    def status(self) -> dict[str, Any]:
        """How many listen, what was sent, and what they were too slow for."""
        return {"listening": self.listening, "sent": self.sent, "dropped": self.dropped}


class Channel:
    """The last answers of one use case, numbered from 0."""

    def __init__(self, size: int) -> None:
        self.head, self.size, self.closed = 0, size, False
        """Number of the next answer; how many are kept."""
        self._answers: list[Answer | None] = [None] * size
        self._events: list[bytes | None] = [None] * size
        self._wake: asyncio.Future[None] | None = None

    def add(self, answer: Answer) -> None:
        """Keep it, and wake who waits."""
        place = self.head % self.size
        self._answers[place], self._events[place] = answer, None
        self.head += 1
        if self._wake is not None:
            self._rouse()

    def close(self) -> None:
        """There will be no more."""
        self.closed = True
        self._rouse()

    def after(self, id: str | None) -> int:
        """Number behind the newest answer with this id; of the next answer, if there is none."""
        for number in range(self.head - 1, max(0, self.head - self.size) - 1, -1):
            answer = self._answers[number % self.size]
            if id is not None and answer is not None and answer.prediction_id == id:
                return number + 1
        return self.head

    def event(self, number: int) -> bytes:
        """An answer as an event; written once, whoever reads it."""
        place = number % self.size
        event = self._events[place]
        if event is None:
            answer = self._answers[place]
            assert answer is not None
            event = b"id: %b\nevent: score\ndata: %b\n\n" % (answer.prediction_id.encode(), encode(answer))
            self._events[place] = event
        return event

    async def wait(self, seconds: float) -> bool:
        """Whether something came within that time."""
        if self._wake is None:
            self._wake = asyncio.get_running_loop().create_future()
        done, _ = await asyncio.wait([self._wake], timeout=seconds)  # leaves it to the others who wait
        return bool(done)

    def _rouse(self) -> None:
        wake, self._wake = self._wake, None
        if wake is not None and not wake.done():
            wake.set_result(None)


class Listener:
    """One reader of a channel."""

    def __init__(self, broadcast: Broadcast, channel: Channel, cursor: int, heartbeat: float) -> None:
        self._broadcast, self._channel, self._cursor = broadcast, channel, cursor
        self._heartbeat = heartbeat

    async def events(self) -> AsyncIterator[bytes]:
        """What to send, as it comes; ends when the broadcast is closed and all is read."""
        channel = self._channel
        yield _OPENED
        while True:
            if missed := channel.head - channel.size - self._cursor if self._behind() else 0:
                self._cursor += missed
                self._broadcast.dropped += missed
                yield b"event: dropped\ndata: %b\n\n" % msgspec.json.encode({"dropped": missed})
            elif self._cursor < channel.head:
                yield self._next()
            elif channel.closed:
                return
            elif not await channel.wait(self._heartbeat):
                yield _HEARTBEAT

    def leave(self) -> None:
        """Make room for another one."""
        self._broadcast.listening -= 1

    def _behind(self) -> bool:
        return self._channel.head - self._cursor > self._channel.size

    def _next(self) -> bytes:
        first, self._cursor = self._cursor, min(self._cursor + _TOGETHER, self._channel.head)
        self._broadcast.sent += self._cursor - first
        return b"".join(map(self._channel.event, range(first, self._cursor)))
