"""Accepts events: finds their stream, admits no more than fit, and has the bus store them durably.

It must not know HTTP, nor call the bus on the event loop, on which everything else here runs.
"""

import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

import anyio
import anyio.to_thread

from mlplatform.crosscutting.bus import Bus
from mlplatform.crosscutting.bus.topics import SOURCE_EVENT
from mlplatform.errors import BusError, RequestError
from mlplatform.online.events import Incoming, messages
from mlplatform.online.replies import shown

IN_FLIGHT = 4096
"""Events between admission and the broker's acknowledgment."""
BYTES_IN_FLIGHT = 64 * 1024 * 1024
"""Bytes of bodies being received, read or published."""
THREADS = 16
_AWAY_SECONDS = 1.0
"""How long after a failure of the bus requests are refused without asking it again."""

Key = tuple[str, str]
"""Use case and stream."""


class Acceptor:
    """Accepts events of the streams it is told of; one per process.

    Parameters
    ----------
    bus : where events go; called in `THREADS` threads at most.
    streams : use case -> names of its streams.
    in_flight, bytes_in_flight : beyond these requests are refused (429), so that memory does not grow.
    """

    def __init__(
        self,
        bus: Bus,
        streams: Mapping[str, Collection[str]],
        *,
        in_flight: int = IN_FLIGHT,
        bytes_in_flight: int = BYTES_IN_FLIGHT,
    ) -> None:
        self.streams = {use_case: tuple(names) for use_case, names in streams.items()}
        self.accepted: Counter[Key] = Counter()
        """Events stored, repeats included."""
        self.refused: Counter[Key] = Counter()
        """Requests refused."""
        self.waiting: Counter[Key] = Counter()
        """Events in flight."""
        self.newest: dict[Key, int] = {}
        """Bus position of the event accepted last."""
        self._bus, self._most, self._most_bytes = bus, in_flight, bytes_in_flight
        self._bytes = 0
        self._away_until = 0.0
        self._threads: anyio.CapacityLimiter | None = None

    @property
    def away(self) -> bool:
        """Whether the bus failed a moment ago."""
        return time.monotonic() < self._away_until

    def find(self, stream: str, use_case: str | None) -> Key:
        """The stream meant; `use_case` is needed only where several have a stream of that name.

        Raises
        ------
        RequestError
            404 if there is no such stream; 400 if it is not clear which one is meant.
        """
        owners = [name for name, streams in self.streams.items() if stream in streams]
        if use_case is not None:
            owners = [name for name in owners if name == use_case]
        if not owners:
            known = ", ".join(f"{name}/{s}" for name, streams in self.streams.items() for s in streams)
            asked = stream if use_case is None else f"{use_case}/{stream}"
            raise RequestError(
                f"got stream {shown(asked)}; known: {known or 'none'}.",
                status=404,
                hint="A stream is declared under `streams` in defs.yaml.",
            )
        if len(owners) > 1:
            hint = f"Add ?use_case={owners[0]} to the address."
            raise RequestError(f"several use cases have a stream {stream}: {', '.join(owners)}.", hint=hint)
        return owners[0], stream

    @contextmanager
    def room(self, length: int) -> Iterator[None]:
        """Room for a body of that many bytes; raises RequestError 429 if there is none."""
        if self._bytes + length > self._most_bytes:
            raise _busy(f"bodies of {self._most_bytes // 2**20} MiB are being handled")
        self._bytes += length
        try:
            yield
        finally:
            self._bytes -= length

    async def accept(self, key: Key, events: Sequence[Incoming]) -> list[int]:
        """Store events, in order; their bus positions, once they are durable.

        Raises
        ------
        RequestError
            429 if too many are in flight; 503 if the bus fails: some may be stored then, and sending all of
            them again is always safe.
        """
        if self.waiting.total() + len(events) > self._most:
            raise _busy(f"{self.waiting.total()} events wait for the broker, allowed: {self._most}")
        self.waiting[key] += len(events)
        try:
            self._threads = self._threads or anyio.CapacityLimiter(THREADS)
            found = await anyio.to_thread.run_sync(self._publish, key, events, limiter=self._threads)
        finally:
            self.waiting[key] -= len(events)
        self.accepted[key] += len(events)
        self.newest[key] = found[-1]
        return found

    def _publish(self, key: Key, events: Sequence[Incoming]) -> list[int]:
        if self.away:
            raise _away()
        try:
            return self._bus.publish_many(SOURCE_EVENT, messages(*key, events))
        except BusError as error:
            self._away_until = time.monotonic() + _AWAY_SECONDS
            raise _away() from error


def _busy(what: str) -> RequestError:
    return RequestError(f"too much at once: {what}.", status=429, hint="Send it again in a second.")


def _away() -> RequestError:
    return RequestError(
        "the broker does not answer; the events may or may not be stored.",
        status=503,
        hint="Send them all again, with the same ids: none is stored twice.",
    )
