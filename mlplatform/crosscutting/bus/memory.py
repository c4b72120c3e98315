"""A bus in this process's memory, for tests and for trying things out.

It keeps encoded bytes, so that it refuses what a broker would; it must not be shared between processes.
"""

from threading import Lock

from mlplatform.crosscutting.bus.contract import D, Envelope, Received, Topic, Unreadable, collect, encode
from mlplatform.errors import BusError


class MemoryBus:
    """Bus whose messages live as long as the object; may be used from many threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._log: list[tuple[str, bytes]] = []
        self._sequences: dict[tuple[str, str], int] = {}
        self._closed = False

    def publish(self, topic: Topic[D], message: Envelope[D]) -> int:
        """See `Bus.publish`."""
        payload = encode(topic, message)
        with self._lock:
            self._check_open()
            key = (topic.name, message.id)
            if key not in self._sequences:
                self._log.append((topic.name, payload))
                self._sequences[key] = len(self._log)
            return self._sequences[key]

    def read(
        self, topic: Topic[D], after: int, limit: int, *, on_unreadable: Unreadable | None = None
    ) -> list[Received[D]]:
        """See `Bus.read`."""
        return collect(topic, [item for item in self._of(topic) if item[0] > after], limit, on_unreadable)

    def last(self, topic: Topic[D]) -> int:
        """See `Bus.last`."""
        return max((sequence for sequence, _ in self._of(topic)), default=0)

    def close(self) -> None:
        """See `Bus.close`."""
        self._closed = True

    def _of(self, topic: Topic[D]) -> list[tuple[int, bytes]]:
        with self._lock:
            self._check_open()
            numbered = enumerate(self._log, start=1)
            return [(number, payload) for number, (name, payload) in numbered if name == topic.name]

    def _check_open(self) -> None:
        if self._closed:
            raise BusError("This bus is closed.", hint="Open another one with open_bus(url).")
