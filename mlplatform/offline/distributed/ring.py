"""Watches work whose parts talk to each other: one death leaves the others waiting for ever.

The work is given up when a worker has gone or the time is over, the others are started anew, and it is done
again on the workers there are. It must not know what the work is.
"""

import concurrent.futures
import logging
import re
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from mlplatform.errors import ModelError
from mlplatform.offline.distributed.cluster import imported

ATTEMPTS = 3
_LOG = logging.getLogger(__name__)
_NETWORK = re.compile(r"socket|connect|bind|listen|machine", re.IGNORECASE)
_BACK = 120.0
"""Seconds to wait for a worker that is being started anew."""
_T = TypeVar("_T")

Work = Callable[[Any, Sequence[str]], _T]
"""Takes a client of its own, which is closed when the work is given up, and the addresses of the workers."""


class Broken(ModelError):
    """The workers cannot end what they began together."""


def together(client: Any, work: Work[_T], workers: int, limit: float) -> _T:
    """What `work` gives on `workers` workers, or on fewer when some do not come back.

    Raises
    ------
    ModelError
        after the third attempt in which a worker died or `limit` seconds passed; what the work itself raises.
    """
    for attempt in range(1, ATTEMPTS + 1):
        members = _members(client, workers)
        try:
            return _watched(client, work, members, limit)
        except Broken as error:
            _restart(client, members)
            if attempt == ATTEMPTS:
                raise ModelError(
                    f"distributed training failed {ATTEMPTS} times; at last: {error}",
                    hint="Look at the workers' memory and logs, or train without `parallel`.",
                ) from error
            _LOG.warning("distributed training starts again (attempt %d): %s", attempt + 1, error)
    raise AssertionError("unreachable")


def _members(client: Any, workers: int) -> list[str]:
    try:
        client.wait_for_workers(workers, timeout=_BACK)
    except TimeoutError as error:
        if not client.nthreads():
            raise ModelError("no Dask worker is left to train on.", hint="Start workers.") from error
        _LOG.warning("%d of %d workers came back; training on those", len(client.nthreads()), workers)
    return sorted(client.nthreads())[:workers]


def _watched(client: Any, work: Work[_T], members: list[str], limit: float) -> _T:
    own = _client_of_order(members)(client.scheduler.address, set_as_default=False)
    try:
        outcome = _started(work, own, members)
        until = time.monotonic() + limit
        while not outcome.done():
            concurrent.futures.wait([outcome], timeout=0.2)
            if gone := sorted(set(members) - set(client.nthreads())):
                raise Broken(f"worker {', '.join(gone)} died.")
            if time.monotonic() > until:
                raise Broken(f"not ready after {limit:g} s.")
        return _result(client, outcome, members)
    finally:
        own.close(timeout=5)


def _started(work: Work[_T], own: Any, members: list[str]) -> "concurrent.futures.Future[_T]":
    """The work in a thread of its own: it may wait for ever, and then ends when its client is closed."""
    outcome: concurrent.futures.Future[_T] = concurrent.futures.Future()

    def run() -> None:
        try:
            with own.as_current():
                outcome.set_result(work(own, members))
        except BaseException as error:  # noqa: BLE001, the thread that waits raises it
            outcome.set_exception(error)

    threading.Thread(target=run, name="distributed-training", daemon=True).start()
    return outcome


def _result(client: Any, outcome: "concurrent.futures.Future[_T]", members: list[str]) -> _T:
    error = outcome.exception()
    if error is None:
        return outcome.result()
    # A survivor may report the broken connection before the scheduler knows of the death.
    time.sleep(0.5)
    if set(members) - set(client.nthreads()) or _NETWORK.search(str(error)):
        raise Broken(f"{type(error).__name__}: {error}") from error
    raise error


def _restart(client: Any, members: list[str]) -> None:
    """A worker inside of a broken collective waits in C code and hears nothing: its process is ended."""
    left = [address for address in members if address in client.nthreads()]
    if left:
        done = client.restart_workers(left, timeout=_BACK, raise_for_error=False)
        _LOG.info("workers started anew: %s", done)


def _client_of_order(members: list[str]) -> Any:
    """A Client that names the holders of data in the order of `members`.

    lightgbm.dask numbers the workers in the order of `who_has`, which is that of a set of random keys;
    numbered in another order, the same rows give other trees.
    """

    class Ordered(imported().Client):  # type: ignore[misc]
        def who_has(self, futures: Any = None, **options: Any) -> dict[Any, Any]:
            found = super().who_has(futures, **options)
            return dict(sorted(found.items(), key=lambda item: members.index(next(iter(item[1])))))

    return Ordered
