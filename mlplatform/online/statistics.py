"""What the protocol's extension `statistics` tells: requests, rows and nanoseconds, by version.

Counted since this process began. It must not know HTTP, nor what was asked.
"""

import time
from collections.abc import Callable
from typing import Any

_PHASES = ("success", "compute_input", "compute_infer", "compute_output")
"""The whole of a request that succeeded, and its parts: reading it, answering, writing the answer."""
_NONE = {"count": 0, "ns": 0}


class _Counts:
    """Of one version."""

    __slots__ = ("failures", "failures_ns", "last_ms", "ns", "requests", "rows")

    def __init__(self) -> None:
        self.requests = self.rows = self.failures = self.failures_ns = self.last_ms = 0
        self.ns = [0, 0, 0, 0]


class Statistics:
    """Counts infer requests; to be used from one thread.

    The key of a count is a use case and the number of a version as text. Whoever counts must see to it that
    both exist, as keys are never dropped.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._counts: dict[tuple[str, str], _Counts] = {}

    def succeeded(
        self, use_case: str, version: str, rows: int, read_ns: int, answer_ns: int, write_ns: int
    ) -> None:
        """A request of `rows` rows was answered by a version."""
        counts = self._of(use_case, version)
        counts.requests += 1
        counts.rows += rows
        counts.last_ms = int(self._clock() * 1000)
        ns = counts.ns
        ns[0] += read_ns + answer_ns + write_ns
        ns[1] += read_ns
        ns[2] += answer_ns
        ns[3] += write_ns

    def failed(self, use_case: str, version: str, ns: int) -> None:
        """A request that asked for a version was refused or could not be answered."""
        counts = self._of(use_case, version)
        counts.failures += 1
        counts.failures_ns += ns

    def told(self, use_case: str, version: str) -> dict[str, Any]:
        """The statistics object of the protocol for one version; zeros if it was never asked."""
        counts = self._counts.get((use_case, version)) or _Counts()
        phases = {
            name: {"count": counts.requests, "ns": ns} for name, ns in zip(_PHASES, counts.ns, strict=True)
        }
        failed = {"count": counts.failures, "ns": counts.failures_ns}
        return {
            "name": use_case,
            "version": version,
            "last_inference": counts.last_ms,
            "inference_count": counts.rows,
            "execution_count": counts.requests,
            "inference_stats": {**phases, "fail": failed, "queue": _NONE},
            "batch_stats": [],
        }

    def _of(self, use_case: str, version: str) -> _Counts:
        key = (use_case, version)
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts[key] = _Counts()
        return counts
