"""The circuit breaker of one version: who is late or fails is passed over until it is well again.

A call that runs in the thread of the requests cannot be broken off, so lateness is kept out before the call:
after a few bad answers the version is not asked any more, and only probes that nobody waits for find out when
it is well. It must not call a model nor know what is asked.
"""

import time
from collections import deque
from collections.abc import Callable

WINDOW = 20
"""Last answers that are looked at."""
MOST_BAD = 3
"""Bad ones among them with which the breaker opens."""
FAR = 4.0
"""One answer later than so many deadlines opens it at once: everybody behind it had to wait too."""
GOOD_PROBES = 3
"""Good probes in a row with which it closes."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds until the first probe; doubled by each bad one."""
_CALM = 60.0
"""Seconds a version has to be well before its next opening begins with the first pause again."""


class Breaker:
    """Open or closed; to be used from one thread. `deadline` in seconds, for one row."""

    __slots__ = ("_bad", "_clock", "_good", "_last", "_pause", "_probing", "broken", "closed_at", "deadline",
                 "errors", "is_open", "late", "opened", "probe_at")  # fmt: skip

    def __init__(self, deadline: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.deadline, self._clock = deadline, clock
        self.is_open = False
        self.broken = False
        """Whether the last bad answer was an error; else it was late."""
        self.late, self.errors, self.opened = 0, 0, 0
        self.probe_at, self.closed_at = 0.0, 0.0
        self._last: deque[bool] = deque(maxlen=WINDOW)
        self._bad, self._good, self._pause, self._probing = 0, 0, FIRST_PAUSE, False

    @property
    def state(self) -> str:
        """`closed`: it is asked; `open`: it is not; `half-open`: it is being probed."""
        if not self.is_open:
            return "closed"
        return "half-open" if self._good or self._probing else "open"

    def took(self, seconds: float) -> None:
        """An answer took so long, per row."""
        if seconds <= self.deadline:
            if self._bad:
                self._note(bad=False)
            return
        self.late += 1
        self.broken = False
        self._note(bad=True)
        if seconds > FAR * self.deadline:
            self._open()

    def failed(self) -> None:
        """A call raised an error."""
        self.errors += 1
        self.broken = True
        self._note(bad=True)

    def wants_probe(self) -> bool:
        """Whether to probe now; then `probed` has to be called."""
        if not self.is_open or self._probing or self._clock() < self.probe_at:
            return False
        self._probing = True
        return True

    def probed(self, *, good: bool) -> None:
        """How the probe went."""
        self._probing = False
        if not good:
            self._good, self._pause = 0, min(2 * self._pause, LONGEST_PAUSE)
            self.probe_at = self._clock() + self._pause
            return
        self._good += 1
        if self._good >= GOOD_PROBES:
            self._last.clear()
            self.is_open, self._bad, self._good = False, 0, 0
            self.closed_at = self._clock()

    def _note(self, *, bad: bool) -> None:
        if len(self._last) == WINDOW:
            self._bad -= self._last[0]
        self._last.append(bad)
        self._bad += bad
        if self._bad >= MOST_BAD:
            self._open()

    def _open(self) -> None:
        if self.is_open:
            return
        now = self._clock()
        again = self.opened > 0 and now - self.closed_at < _CALM
        self._pause = min(2 * self._pause, LONGEST_PAUSE) if again else FIRST_PAUSE
        self.is_open, self._good, self._probing = True, 0, False
        self.opened += 1
        self.probe_at = now + self._pause
