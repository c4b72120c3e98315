"""Messages that were fetched and not acknowledged, for buses whose server does not keep track of them.

It must not decide what to do with them: a subscription asks and hands them out again.
"""

import time
from collections.abc import Iterable

Stored = tuple[int, bytes]


class Held:
    """Sequence, bytes and time of what a reader has in hand."""

    def __init__(self, ack_wait: float) -> None:
        self._ack_wait = ack_wait
        self._payloads: dict[int, bytes] = {}
        self._due: dict[int, float] = {}

    def add(self, stored: Iterable[Stored]) -> None:
        """These were handed out now."""
        due = time.monotonic() + self._ack_wait
        for sequence, payload in stored:
            self._payloads[sequence], self._due[sequence] = payload, due

    def remove(self, sequences: Iterable[int]) -> None:
        """These are acknowledged; a sequence that is not in hand is left alone."""
        for sequence in sequences:
            self._payloads.pop(sequence, None)
            self._due.pop(sequence, None)

    def overdue(self, limit: int) -> list[Stored]:
        """Up to `limit` messages, in order, that were in hand for too long."""
        now = time.monotonic()
        late = sorted(sequence for sequence, due in self._due.items() if due <= now)
        return [(sequence, self._payloads[sequence]) for sequence in late[:limit]]

    def without(self, sequences: Iterable[int]) -> int | None:
        """The lowest sequence in hand once these are acknowledged."""
        return min(self._payloads.keys() - set(sequences), default=None)

    def clear(self) -> None:
        """Nothing is in hand any more."""
        self._payloads.clear()
        self._due.clear()
