"""kill -9 of the process that scores: another goes on behind the last whole day, and nothing is doubled."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mlplatform.crosscutting.bus import event_id
from mlplatform.crosscutting.bus.memory import MemoryBus
from mlplatform.crosscutting.bus.topics import SCORING_COMPLETED
from mlplatform.crosscutting.settings import Settings
from mlplatform.online.batch_runner import Runner
from mlplatform.online.batch_scoring import DONE, NOT_OURS
from mlplatform.online.batch_telling import tell_days
from mlplatform.stores.batch_asking import Asked, ask
from mlplatform.stores.batch_requests import BatchRequest, BatchRequests
from mlplatform.stores.batch_scores import SCORES, Scorer, score_days
from mlplatform.stores.champions import ChampionStore
from mlplatform.stores.lake import KEY, Lake, Table
from mlplatform_tests.online.world import USE_CASE, World, orders, train

DAYS = 12
TABLE = Table(USE_CASE, SCORES)
PATIENCE = 300.0
"""Seconds; a busy machine takes many to load a model library."""


class Home:
    """A home with a champion and rows of some days, a runner of real processes, and who they are."""

    def __init__(self, folder: Path) -> None:
        world = World(folder)
        frame = orders(days=DAYS, per_day=20)
        world.write(frame)
        world.promote(train(frame, "logistic_regression").candidate)
        self.settings = Settings.load({"MLPLATFORM_HOME": str(folder)})
        self.requests = BatchRequests(self.settings.state_url)
        self.days = sorted(frame[KEY].unique().to_list())
        self.processes: list[subprocess.Popen[bytes]] = []
        self.world = world

    def ask(self) -> str:
        with closing(ChampionStore(self.settings.state_url)) as champions:
            asked = Asked(use_case=USE_CASE, first=self.days[0], last=self.days[-1])
            return ask(self.requests, champions, asked).id

    def spawn(self, request: BatchRequest, owner: str) -> "subprocess.Popen[bytes]":
        """A process that commits every day by itself."""
        command = [sys.executable, "-m", "mlplatform.online.batch_scoring", request.id, "--owner", owner]
        environment = {**os.environ, "MLPLATFORM_HOME": str(self.settings.home)}
        process = subprocess.Popen([*command, "--rows", "1"], env=environment)
        self.processes.append(process)
        return process

    def until(self, runner: Runner, reached: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not reached():
            newest = self.requests.newest()
            assert time.monotonic() < end, newest
            assert newest[0].state != "failed", newest[0].error
            runner.tick()
            time.sleep(0.01)

    def scores(self) -> pl.DataFrame:
        with closing(Lake.from_settings(self.settings)) as lake:
            return lake.read(TABLE)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path)
    yield made
    for process in made.processes:
        if process.poll() is None:
            process.kill()
        process.wait()
    made.requests.close()


@pytest.mark.slow
def test_after_a_kill_another_process_goes_on_and_every_day_is_there_once(home: Home) -> None:
    id, runner = home.ask(), Runner(lambda: home.requests, home.spawn)
    home.until(runner, lambda: home.requests.get(id).days_done >= 3)
    (victim,) = home.processes
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    before = home.requests.days_done(id)
    whole = home.scores()[KEY].value_counts()
    assert 3 <= len(before) < DAYS
    assert before <= set(whole[KEY])
    home.until(runner, lambda: home.requests.get(id).ended)
    request = home.requests.get(id)
    assert (request.state, request.attempts, request.days_done) == ("done", 2, DAYS), request.error
    got = home.scores()
    assert request.rows_done == got.height == DAYS * 20
    assert got["prediction_id"].n_unique() == got.height

    with closing(ChampionStore(home.settings.state_url)) as champions:
        release = champions.champion(USE_CASE)
    assert release is not None
    lake = home.world.lake
    score_days(Scorer.open(release, home.world.candidates, lake), lake, home.days)
    assert_frame_equal(home.scores(), got, check_exact=True)

    bus = MemoryBus()
    tell_days(home.requests, bus)
    said = [each.envelope.id for each in bus.read(SCORING_COMPLETED, 0, 100)]
    assert said == [event_id("scoring-completed", USE_CASE, day, id) for day in home.days]


def test_a_process_takes_a_request_up_by_itself_once(home: Home) -> None:
    id = home.ask()
    command = [sys.executable, "-m", "mlplatform.online.batch_scoring", id]
    environment = {**os.environ, "MLPLATFORM_HOME": str(home.settings.home)}
    home.processes += [subprocess.Popen(command, env=environment) for _ in range(2)]
    codes = sorted(process.wait(PATIENCE) for process in home.processes)
    assert codes == [DONE, NOT_OURS]
    assert home.requests.get(id).state == "done"
    assert home.scores().height == DAYS * 20
