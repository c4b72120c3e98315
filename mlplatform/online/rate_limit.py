"""Limits how often each caller may ask: one token bucket per caller, in bounded memory.

A bucket is one number, the moment when it will be full again (the generic cell rate algorithm), so a full
bucket and none are the same. It must not know HTTP, nor who callers are.
"""

import time
from collections.abc import Callable

MOST = 10_000
"""Callers that are remembered."""


class RateLimit:
    """`rate` requests a second on average, `burst` at once; for use from one thread."""

    def __init__(
        self, rate: float, burst: int, *, most: int = MOST, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval, self._slack = 1.0 / rate, (max(burst, 1) - 1) / rate
        self._most, self._clock = most, clock
        self._full_at: dict[str, float] = {}

    def __len__(self) -> int:
        """Callers remembered."""
        return len(self._full_at)

    def wait(self, caller: str) -> float:
        """Take a token; 0.0, or in how many seconds there will be one, and then none is taken."""
        now = self._clock()
        full_at = max(self._full_at.get(caller, now), now)
        early = full_at - now - self._slack
        if early > 1e-9:
            return early
        if caller not in self._full_at and len(self._full_at) >= self._most:
            self._forget(now)
        self._full_at[caller] = full_at + self._interval
        return 0.0

    def _forget(self, now: float) -> None:
        """Forget full buckets; where there are too few of them, a tenth of all, those first seen longest ago.

        So looking at all of them is paid for by many callers, and the worst that a crowd of made-up callers
        does to another is to give it a fresh bucket.
        """
        self._full_at = {caller: at for caller, at in self._full_at.items() if at > now}
        if len(self._full_at) > self._most * 9 // 10:
            for caller in list(self._full_at)[: self._most // 10 + 1]:
                del self._full_at[caller]
