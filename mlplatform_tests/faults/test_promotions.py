"""Promotions, rollbacks and bad packages under a full load: no request fails, no answer mixes two versions.

Every answer is compared with the batch score of the version it names, not only its status.
"""

import asyncio
import json
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import pytest

from benchmarks.load import Result, post, run
from mlplatform.online.http import application
from mlplatform.online.releases import Releases
from mlplatform.stages.training.candidate import Candidate
from mlplatform.stores.champions import ChampionStore
from mlplatform_tests.online.conftest import other as other
from mlplatform_tests.online.conftest import trained as trained
from mlplatform_tests.online.conftest import world as world
from mlplatform_tests.online.real_server import serving
from mlplatform_tests.online.world import START, USE_CASE, Trained, World, facts_of, train

CONNECTIONS = 16
ROWS = 200
_PATIENCE = 120.0

Scores = dict[int, list[float]]
"""By version the batch scores of the rows that are asked."""


class _Answered(msgspec.Struct):
    version: int
    digest: str
    score: float
    prediction_id: str
    link: str


_read = msgspec.json.Decoder(_Answered).decode


@dataclass
class Checked:
    """Says of every answer what is wrong with it, and counts who answered."""

    scores: Scores
    digests: dict[int, str]
    by: Counter[tuple[int, str]] = field(default_factory=Counter)
    ids: dict[tuple[int, int], str] = field(default_factory=dict)

    def __call__(self, index: int, status: int, body: bytes) -> str:
        if status != 200:
            return f"status {status}: {body[:200].decode()}"
        said = _read(body)
        self.by[said.version, said.link] += 1
        if said.digest != self.digests[said.version]:
            return f"version {said.version} with the digest of another"
        if said.score != self.scores[said.version][index]:
            return f"version {said.version}, row {index}: score {said.score!r} of another version"
        if self.ids.setdefault((said.version, index), said.prediction_id) != said.prediction_id:
            return f"version {said.version}, row {index}: two ids for one answer"
        return ""


class Loaded:
    """A world under load."""

    def __init__(self, world: World, trained: list[Trained]) -> None:
        self.world, self.trained = world, trained
        self.store = ChampionStore(world.state_url)
        self.releases: Releases = world.releases()
        frame = trained[0].frame.tail(ROWS)
        self.bodies = [
            post(f"/score/{USE_CASE}", json.dumps(facts_of(row)).encode(), host="127.0.0.1")
            for row in frame.iter_rows(named=True)
        ]
        versions = [world.promote(each.candidate).version for each in trained]
        self.checked = Checked(
            {v: each.scores[-ROWS:].tolist() for v, each in zip(versions, trained, strict=True)},
            {v: each.candidate.digest for v, each in zip(versions, trained, strict=True)},
        )

    def change(self, version: int) -> None:
        """Make a version the champion, and wait until it is in use."""
        self.store.change(USE_CASE, "promote", version, who="test", why="under load", at=START)
        self.releases.wake()
        until = time.monotonic() + _PATIENCE
        while self.releases.current[USE_CASE].bundle.release.version != version:
            assert time.monotonic() < until, self.releases.problems
            time.sleep(0.002)

    def rollback(self) -> None:
        """Go back to the champion before the present one, and wait until it is in use."""
        present = self.store.deployment(USE_CASE)
        assert present is not None
        back = present.previous[0].version
        self.store.change(USE_CASE, "rollback", back, who="test", why="under load", at=START)
        self.releases.wake()
        until = time.monotonic() + _PATIENCE
        while self.releases.current[USE_CASE].bundle.release.version != back:
            assert time.monotonic() < until, self.releases.problems
            time.sleep(0.002)


@contextmanager
def under_load(loaded: Loaded) -> Iterator[list[Result]]:
    """Keeps the service busy while the block runs; then the list has the result."""
    loaded.releases.poll()
    results: list[Result] = []
    stop = asyncio.Event()
    loop = asyncio.new_event_loop()
    with serving(application(loaded.releases, poll_seconds=5.0)) as address:
        host, _, port = address.partition(":")
        going = run(host, int(port), loaded.bodies, CONNECTIONS, stop=stop, check=loaded.checked)
        thread = threading.Thread(target=lambda: results.append(loop.run_until_complete(going)))
        thread.start()
        try:
            time.sleep(0.2)
            yield results
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()
            loop.close()


@pytest.fixture
def loaded(world: World, trained: Trained, other: Trained) -> Iterator[Loaded]:
    """Three releases of different scores."""
    third = train(trained.frame, num_iterations=5)
    made = Loaded(world, [trained, other, third])
    with closing(made.store):
        yield made


def promote_and_roll_back(loaded: Loaded, times: int) -> Result:
    with under_load(loaded) as results:
        for number in range(times):
            if number % 5 == 4:
                loaded.rollback()
            else:
                loaded.change(number % 3 + 1)
    return results[0]


@pytest.mark.parametrize("times", [15, pytest.param(500, marks=pytest.mark.slow)])
def test_promotions_and_rollbacks_under_load_fail_no_request(loaded: Loaded, times: int) -> None:
    result = promote_and_roll_back(loaded, times)
    assert result.failures == []
    assert len(result.latencies) > 20 * times
    assert {version for version, _ in loaded.checked.by} == {1, 2, 3}
    assert {link for _, link in loaded.checked.by} == {"champion"}


def bad_packages(loaded: Loaded, times: int) -> Iterator[int]:
    """Releases that must stay out: damaged, absent, of other golden rows, of another feature set."""
    candidate = loaded.trained[1].candidate
    for number in range(times):
        yield _bad(loaded, candidate, number)


def _bad(loaded: Loaded, candidate: Candidate, number: int) -> int:
    golden = candidate.golden
    match number % 4:
        case 0:
            scores = [golden.scores[0] + 1e-9 * (number + 1), *golden.scores[1:]]
            wrong = replace(candidate, golden=type(golden)(golden.names, golden.rows, scores))
        case 1:
            fewer = candidate.feature_set.replace(b'"name":"grams"', f'"name":"g{number}"'.encode())
            wrong = replace(candidate, feature_set=fewer)
        case _:
            wrong = replace(candidate, params={"number": number})
    version = loaded.world.promote(wrong).version
    folder: Path = loaded.world.folder / "candidates" / USE_CASE / wrong.digest
    if number % 4 == 2:
        (folder / "model.json").write_bytes(b"{}")
    elif number % 4 == 3:
        shutil.rmtree(folder)
    return version


@pytest.mark.parametrize("times", [4, pytest.param(50, marks=pytest.mark.slow)])
def test_bad_packages_under_load_stay_out(loaded: Loaded, times: int) -> None:
    with under_load(loaded) as results:
        good = loaded.releases.current[USE_CASE].bundle.release.version
        for number, version in enumerate(bad_packages(loaded, times)):
            loaded.releases.wake()
            until = time.monotonic() + _PATIENCE
            while f"Release {version} is not in use" not in loaded.releases.problems.get(USE_CASE, ""):
                assert time.monotonic() < until
                time.sleep(0.002)
            assert loaded.releases.refused >= number + 1
            assert loaded.releases.current[USE_CASE].bundle.release.version == good
    assert results[0].failures == []
    assert set(loaded.checked.by) == {(good, "champion")}
