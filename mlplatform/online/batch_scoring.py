"""The process that scores one request: `python -m mlplatform.online.batch_scoring ID`.

Model, lake and rows are in this process alone: when it ends, their memory is free. It takes the request up,
or was given it by the runner as `--owner`; while it scores it keeps the lease, and notes every commit, so
that a process after it goes on behind the last whole day. It must not tell anybody: the runner does.
"""

import argparse
import logging
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import closing
from uuid import uuid4

from mlplatform.crosscutting import logs, tracing
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import (
    ConfigurationError,
    FeatureError,
    MlplatformError,
    ModelError,
    NotFound,
    RequestError,
)
from mlplatform.stores.batch_requests import LEASE, BatchRequest, BatchRequests

_LOG = logging.getLogger(__name__)
DONE, FAILED, AGAIN, NOT_OURS = 0, 1, 2, 3
"""Exit codes: scored; trying again would fail again; another process may try; another process has it."""
_FINAL = (ConfigurationError, FeatureError, ModelError, NotFound, RequestError)


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def perform(
    settings: Settings, requests: BatchRequests, request: BatchRequest, owner: str, rows: int | None = None
) -> int:
    """Score a request that `owner` has taken up, at most `rows` at once; the exit code."""
    with _Lease(requests, request.id, owner):
        try:
            _score(settings, requests, request, owner, rows)
            requests.done(request.id, owner)
        except _FINAL as error:
            requests.failed(request.id, owner, _said(error))
            return FAILED
        except MlplatformError as error:
            if not requests.given_back(request.id, owner, _said(error)):
                return NOT_OURS
            return AGAIN
    return DONE


def _score(
    settings: Settings, requests: BatchRequests, request: BatchRequest, owner: str, rows: int | None
) -> None:
    # Imported late: LightGBM reads OMP_NUM_THREADS when it is loaded, and `main` sets it.
    from mlplatform.stores.batch_asking import release_of
    from mlplatform.stores.batch_scores import MOST_ROWS, Scorer, score_days
    from mlplatform.stores.candidates import CandidateStore
    from mlplatform.stores.champions import ChampionStore
    from mlplatform.stores.lake import Lake

    with closing(ChampionStore(settings.state_url)) as champions:
        release = release_of(champions, request.use_case, request.version)
    with closing(Lake.from_settings(settings)) as lake:
        scorer = Scorer.open(release, CandidateStore(settings.candidates), lake)
        counts = scorer.questions.within(request.first, request.last)
        requests.counted(request.id, owner, len(counts), sum(counts.values()))
        before = requests.days_done(request.id)
        if left := [day for day in counts if day not in before]:
            score_days(
                scorer,
                lake,
                left,
                done=lambda each: requests.committed(request.id, owner, each.rows),
                most_rows=rows or MOST_ROWS,
            )


class _Lease:
    """Renews the lease from a thread while the `with` block runs."""

    def __init__(self, requests: BatchRequests, id: str, owner: str) -> None:
        self._requests, self._id, self._owner = requests, id, owner
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _renew(self) -> None:
        over = False
        while not over:
            try:
                self._requests.renew(self._id, self._owner)
            except MlplatformError as error:  # the next commit is refused if it is another's by then
                _LOG.warning("the lease of request %s was not renewed: %s", self._id, error)
            over = self._over.wait(LEASE.total_seconds() / 4)


def _said(error: MlplatformError) -> str:
    return f"{error} {error.hint}".strip()[:2000]


def main(arguments: Sequence[str] | None = None) -> int:
    """Score the request named in the arguments; the exit code."""
    parser = argparse.ArgumentParser(prog="mlplatform.online.batch_scoring")
    parser.add_argument("id", metavar="ID")
    parser.add_argument("--owner", default="", help="who has taken the request up already")
    parser.add_argument("--rows", type=int, default=None, metavar="N", help="most rows of one chunk")
    given = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", str(cores()))
    settings = Settings.load()
    logs.set_up(settings, "batch scoring")
    try:
        with closing(BatchRequests(settings.state_url)) as requests:
            owner = given.owner or f"process {os.getpid()} {uuid4().hex[:8]}"
            taken = requests.get(given.id) if given.owner else requests.claim(owner, given.id)
            if taken is None or taken.owner != owner:
                return NOT_OURS
            with tracing.within(tracing.of_run(taken.id), run_id=taken.id, use_case=taken.use_case):
                return perform(settings, requests, taken, owner, given.rows)
    except MlplatformError as error:
        logs.complain(error)
        return AGAIN


if __name__ == "__main__":
    sys.exit(main())
