"""Tells of batch scores: a message for each committed day, and the callback of a request that ended.

What is to be told is in the store of requests, so nothing is lost while a broker or a receiver is away, and
ids follow from the request, so nothing counts twice. It must not score.
"""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, Protocol

import msgspec

from mlplatform.crosscutting.bus import Bus, open_bus
from mlplatform.crosscutting.bus.scoring_messages import scored
from mlplatform.crosscutting.bus.topics import SCORING_COMPLETED
from mlplatform.errors import BusError, RequestError
from mlplatform.stores.batch_requests import BatchRequest, BatchRequests, ScoredDay

_LOG = logging.getLogger(__name__)
AGAIN_SECONDS = 5.0
"""How long what was away is left alone."""


class Push(Protocol):
    """Delivers a message to a URL, or takes it over for good; it raises if it could do neither."""

    def __call__(self, url: str, id: str, body: bytes, /) -> object:
        """`id` is the same whenever the same message is pushed; `body` is JSON."""


class Teller:
    """Tells what is new; after a broker or a receiver was away, it is left alone for a while.

    Parameters
    ----------
    push : tells a callback; None: callbacks wait.
    """

    def __init__(
        self, broker_url: str, push: Push | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._broker_url, self._push, self._clock = broker_url, push, clock
        self._not_before = {"broker": 0.0, "callbacks": 0.0}

    def __call__(self, requests: BatchRequests) -> None:
        """Announce days, and call back."""
        self._try("broker", lambda: announce(requests, self._broker_url))
        if self._push is not None:
            push = self._push
            self._try("callbacks", lambda: call_back(requests, push))

    def _try(self, what: str, work: Callable[[], object]) -> None:
        if self._clock() < self._not_before[what]:
            return
        try:
            work()
        except (BusError, RequestError) as error:
            _LOG.debug("the %s of batch scores wait: %s", what, error)
            self._not_before[what] = self._clock() + AGAIN_SECONDS


def announce(requests: BatchRequests, broker_url: str) -> int:
    """`tell_days` over a broker, which is not asked where nothing is to be told; BusError if it is away."""
    if not requests.unannounced(limit=1):
        return 0
    with closing(open_bus(broker_url)) as bus:
        return tell_days(requests, bus)


def tell_days(requests: BatchRequests, bus: Bus) -> int:
    """Announce every committed day that was not announced yet; how many there were.

    Raises
    ------
    BusError
        if no broker answers; what it has is announced, the rest is later.
    """
    told = 0
    while days := requests.unannounced():
        bus.publish_many(SCORING_COMPLETED, [_message(each) for each in days])
        requests.announced(days)
        told += len(days)
    return told


def call_back(requests: BatchRequests, push: Push) -> int:
    """Tell the callbacks of requests that ended; how many there were.

    Raises
    ------
    RequestError
        if a callback cannot be taken now (500 and above); one that is not allowed is let go.
    """
    ended = requests.to_call_back()
    for request in ended:
        assert request.callback is not None
        try:
            push(request.callback, f"batch-scores-{request.id}", msgspec.json.encode(shown(request)))
        except RequestError as error:
            if error.status >= 500:
                raise
            _LOG.warning("the callback of request %s is not told: %s", request.id, error)
        requests.called_back(request.id)
    return len(ended)


def shown(request: BatchRequest) -> dict[str, Any]:
    """A request as callers see it, over HTTP, in a callback and from the command line."""
    kept = msgspec.structs.asdict(request)
    for name in ("owner", "lease_until", "called_back"):
        del kept[name]
    return {**kept, "progress": progress(request)}


def listed(requests: Sequence[BatchRequest]) -> dict[str, Any]:
    """Several requests as callers see them."""
    return {"batch_scores": [shown(each) for each in requests]}


def progress(request: BatchRequest) -> float:
    """Part of the rows that are in the lake, 0 to 1."""
    if request.state == "done":
        return 1.0
    return round(request.rows_done / request.rows, 4) if request.rows else 0.0


def _message(day: ScoredDay) -> Any:
    request = day.request
    return scored(
        request.use_case,
        day.day,
        request.id,
        model=request.model,
        version=request.version,
        rows=day.rows,
    )
