"""A loaded release as the chain of responsibility calls it: its bundle, its breaker, its process, its counts.

It must not know which link it is, nor choose who answers.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np

from mlplatform.online.breaker import Breaker
from mlplatform.online.bundle import Asked, Bundle
from mlplatform.online.isolated import ModelProcess
from mlplatform.stages.scoring.score import Link

FEW = 8
"""Rows up to which each is scored by itself: that is as fast, and needs no matrix."""
BREATH = 32
"""Rows of one request after which others get their turn."""


class Version:
    """One release in use; to be used from the thread of the requests alone.

    Parameters
    ----------
    root : folder of the Model Candidate Data Store, for a process of its own.
    """

    def __init__(self, bundle: Bundle, root: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.bundle = bundle
        release = bundle.release
        self.breaker = Breaker(release.policy.deadline_ms / 1000, clock)
        self.served: Counter[Link] = Counter()
        self._process = ModelProcess(root, release.use_case, release.digest)
        self.own_process = release.policy.own_process

    def with_bundle(self, bundle: Bundle) -> "Version":
        """The same release with another memory; its health and its counts stay one."""
        other = copy(self)
        other.bundle = bundle
        return other

    async def scores(self, asked: Sequence[Asked], seconds: float) -> list[float]:
        """The scores of rows, in the thread of the requests, or in its own process within `seconds`.

        Raises
        ------
        TimeoutError
            if its own process takes longer.
        ModelError
            if the model does; it may raise any other error as well.
        """
        if self.own_process:
            return await self.isolated(asked, seconds)
        if len(asked) <= FEW:
            score_row = self.bundle.score_row
            return [score_row(each.row) for each in asked]
        scores: list[float] = []
        for at in range(0, len(asked), BREATH):
            if at:
                await asyncio.sleep(0)
            rows = np.array([each.row for each in asked[at : at + BREATH]], dtype=np.float64)
            scores += self.bundle.score_rows(rows).tolist()
        return scores

    async def isolated(self, asked: Sequence[Asked], seconds: float) -> list[float]:
        """The scores from a process of its own, within `seconds`; raises as `scores`."""
        return await asyncio.wait_for(self._process.score([each.row for each in asked]), max(seconds, 0.001))

    def end_probing(self) -> None:
        """End the process, unless every answer comes from it."""
        if not self.own_process:
            self._process.end()

    def retire(self) -> None:
        """End the process, if there is one; from any thread."""
        self._process.end(forever=True)

    def status(self) -> dict[str, Any]:
        """What it answered as which link, how it went, and whether it is asked."""
        breaker, release = self.breaker, self.bundle.release
        return {
            "model": release.model,
            "digest": release.digest,
            "served": dict(self.served),
            "late": breaker.late,
            "errors": breaker.errors,
            "breaker": breaker.state,
            "opened": breaker.opened,
        }
