"""A champion that becomes slow or raises, under load over HTTP: others answer for it, in time, and say so."""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from benchmarks.load import post, run
from mlplatform.online.http import application
from mlplatform.stages.deployment.policy import Policy
from mlplatform_tests.online import moody
from mlplatform_tests.online.conftest import trained as trained
from mlplatform_tests.online.conftest import world as world
from mlplatform_tests.online.real_server import serving
from mlplatform_tests.online.world import USE_CASE, Trained, World, facts_of, train

DEADLINE_MS = 100.0


class _Answered(msgspec.Struct):
    link: str
    score: float
    late: bool = False


_read = msgspec.json.Decoder(_Answered).decode


class Told:
    """What the answers of each phase said of themselves."""

    def __init__(self, scores: list[float]) -> None:
        self._scores, self.phase = scores, "well"
        self.links: Counter[tuple[str, str]] = Counter()
        self.late = 0

    def __call__(self, index: int, status: int, body: bytes) -> str:
        if status != 200:
            return f"status {status}: {body[:200].decode()}"
        said = _read(body)
        self.links[self.phase, said.link] += 1
        self.late += said.late
        right = 0.75 if said.link == "champion" else self._scores[index]
        return "" if said.score == right else f"row {index}: {said.score!r} is not of {said.link}"


@pytest.mark.parametrize("mood", ["slow 0.2", pytest.param("failing", marks=pytest.mark.slow)])
def test_others_answer_in_time_and_it_comes_back_by_itself(
    mood: str, world: World, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(moody.MOOD, str(tmp_path / "mood"))
    moods = train(trained.frame, "mlplatform_tests.online.moody", score=0.75)
    world.promote(trained.candidate)
    world.promote(moods.candidate, Policy(deadline_ms=DEADLINE_MS))
    rows = trained.frame.tail(100)
    told = Told(trained.scores[-100:].tolist())
    requests = [
        post(f"/score/{USE_CASE}", json.dumps(facts_of(row)).encode(), host="127.0.0.1")
        for row in rows.iter_rows(named=True)
    ]
    releases, stop, loop = world.releases(), asyncio.Event(), asyncio.new_event_loop()
    releases.poll()
    champion = releases.current[USE_CASE].champion
    with serving(application(releases, poll_seconds=5.0)) as address:
        host, _, port = address.partition(":")
        results = []
        going = run(host, int(port), requests, 4, stop=stop, check=told)
        thread = threading.Thread(target=lambda: results.append(loop.run_until_complete(going)))
        thread.start()
        _until(lambda: told.links["well", "champion"] > 100)
        told.phase = "bad"
        moody.set_mood(mood)
        _until(lambda: told.links["bad", "previous"] >= 3000)
        told.phase = "well again"
        moody.set_mood("")
        _until(lambda: told.links["well again", "champion"] > 100)
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
    assert results[0].failures == []
    bad = sum(count for (phase, _), count in told.links.items() if phase == "bad")
    assert told.links["bad", "previous"] >= 0.99 * bad
    assert told.late <= 0.01 * bad  # by the service's own clock
    assert (champion.breaker.opened, champion.breaker.is_open) == (1, False)


def _until(reached: Callable[[], bool]) -> None:
    patience = time.monotonic() + 120.0
    while not reached():
        assert time.monotonic() < patience
        time.sleep(0.01)
