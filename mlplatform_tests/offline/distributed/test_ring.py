"""Work that needs all its workers: given up and done again a bounded number of times."""

import logging
import os
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from mlplatform.errors import ModelError
from mlplatform.offline.distributed import ring


def test_the_work_gets_a_client_that_orders_the_workers(client: Any) -> None:
    def work(own: Any, members: Sequence[str]) -> list[str]:
        held = [own.submit(os.getpid, workers=[m], pure=False) for m in reversed(members)]
        own.gather(held)
        return [where[0] for where in own.who_has(held).values()]

    assert all(ring.together(client, work, 2, 60.0) == sorted(client.nthreads()) for _ in range(5))


def test_work_that_hangs_is_done_again(client: Any, caplog: pytest.LogCaptureFixture) -> None:
    before, calls = set(client.nthreads()), []

    def work(own: Any, members: Sequence[str]) -> str:
        calls.append(members)
        return "done" if len(calls) > 1 else own.submit(_forever, workers=members[:1]).result()

    with caplog.at_level(logging.WARNING):
        assert ring.together(client, work, 2, 1.0) == "done"
    assert "not ready after 1 s" in caplog.text
    assert not before & set(client.nthreads())


def test_an_error_of_the_work_itself_is_not_tried_again(client: Any) -> None:
    calls = []

    def work(own: Any, members: Sequence[str]) -> str:
        calls.append(members)
        raise ValueError("these rows teach nothing")

    with pytest.raises(ValueError, match="teach nothing"):
        ring.together(client, work, 2, 60.0)
    assert len(calls) == 1


@pytest.mark.slow
def test_attempts_are_bounded(client: Any) -> None:
    calls = []

    def work(own: Any, members: Sequence[str]) -> str:
        calls.append(members)
        raise OSError("connection reset by peer")

    with pytest.raises(ModelError, match="failed 3 times; at last: OSError: connection reset"):
        ring.together(client, work, 2, 60.0)
    assert len(calls) == ring.ATTEMPTS


def _forever() -> None:
    threading.Event().wait()
