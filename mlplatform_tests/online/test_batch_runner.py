"""The batch scoring service: processes started, reaped and stopped, and what it tells, with small fakes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event as Flag

import pytest

from mlplatform.crosscutting.bus import Bus, Received, envelope, event_id
from mlplatform.crosscutting.bus.consume import consume
from mlplatform.crosscutting.bus.memory import MemoryBus
from mlplatform.crosscutting.bus.topics import (
    DEAD_LETTER,
    SCORING_COMPLETED,
    SCORING_REQUESTED,
    ScoringRequested,
)
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import BusError, RequestError
from mlplatform.online.batch_runner import Runner, opened
from mlplatform.online.batch_telling import AGAIN_SECONDS, Teller, announce, call_back, tell_days
from mlplatform.online.batch_topic import Listener
from mlplatform.stores.batch_asking import Asked, ask
from mlplatform.stores.batch_requests import MOST_ATTEMPTS, BatchRequest, BatchRequests
from mlplatform.stores.champions import ChampionStore
from mlplatform_tests.online.world import USE_CASE
from mlplatform_tests.stores.test_batch_requests import promote

DAYS = {"2024-03-01": 40, "2024-03-02": 41}


class Started:
    """A process that ends when a test says so."""

    def __init__(self) -> None:
        self.code: int | None = None
        self.terminated = False

    def poll(self) -> int | None:
        return self.code

    def terminate(self) -> None:
        self.terminated, self.code = True, -15

    def kill(self) -> None:
        self.code = -9

    def wait(self, timeout: float | None = None) -> int:
        assert self.code is not None
        return self.code


class Platform:
    """A state with a champion, its requests, and the processes that were started."""

    def __init__(self, home: Path) -> None:
        self.settings = Settings.load({"MLPLATFORM_HOME": str(home), "MLPLATFORM_BROKER_URL": "memory://"})
        self.requests = BatchRequests(self.settings.state_url)
        self.started: list[tuple[str, str, Started]] = []

    def runner(self, only: str | None = None) -> Runner:
        return Runner(lambda: self.requests, self.spawn, only=only)

    def spawn(self, request: BatchRequest, owner: str) -> Started:
        process = Started()
        self.started.append((request.id, owner, process))
        return process

    def ask(self, **more: str) -> str:
        asked = Asked(use_case=USE_CASE, first="2024-03-01", last="2024-03-02", **more)  # type: ignore[arg-type]
        with closing(ChampionStore(self.settings.state_url)) as champions:
            return ask(self.requests, champions, asked).id

    def score(self, at: int = -1) -> None:
        """What the process started last does, all of it."""
        id, owner, process = self.started[at]
        self.requests.counted(id, owner, 2, 81)
        self.requests.committed(id, owner, DAYS)
        self.requests.done(id, owner)
        process.code = 0


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    promote(f"sqlite:///{tmp_path / 'state.sqlite'}", 1)
    made = Platform(tmp_path)
    with closing(made.requests):
        yield made


class TestRunner:
    def test_one_process_at_a_time_in_the_order_of_asking(self, platform: Platform) -> None:
        first, second = platform.ask(), platform.ask()
        runner = platform.runner()
        for _ in range(3):
            runner.tick()
        assert [id for id, _, _ in platform.started] == [first]
        platform.score()
        runner.tick()
        assert [id for id, _, _ in platform.started] == [first, second]
        assert [platform.requests.get(id).state for id in (first, second)] == ["done", "running"]

    def test_of_two_services_one_takes_it_up(self, platform: Platform) -> None:
        platform.ask()
        for runner in (platform.runner(), platform.runner()):
            runner.tick()
            runner.tick()
        assert len(platform.started) == 1

    def test_a_killed_process_is_started_again_until_it_was_tried_enough(self, platform: Platform) -> None:
        id, runner = platform.ask(), platform.runner()
        for attempt in range(MOST_ATTEMPTS):
            runner.tick()
            assert platform.requests.get(id).attempts == attempt + 1
            platform.started[-1][2].code = -9
        runner.tick()
        failed = platform.requests.get(id)
        assert (failed.state, len(platform.started)) == ("failed", MOST_ATTEMPTS)
        assert "SIGKILL" in failed.error

    def test_what_is_running_is_stopped_and_queued_again(self, platform: Platform) -> None:
        id, runner = platform.ask(), platform.runner()
        runner.tick()
        runner.close()
        assert platform.started[0][2].terminated
        queued = platform.requests.get(id)
        assert (queued.state, queued.attempts, queued.owner) == ("queued", 0, None)

    def test_it_may_be_there_for_one_request_alone(self, platform: Platform) -> None:
        platform.ask()
        second = platform.ask()
        platform.runner(only=second).tick()
        assert [id for id, _, _ in platform.started] == [second]

    def test_without_a_state_it_waits_and_makes_none(self, tmp_path: Path) -> None:
        settings = Settings.load({"MLPLATFORM_HOME": str(tmp_path / "empty")})
        Runner(opened(settings), lambda request, owner: Started()).tick()
        assert not (tmp_path / "empty").exists()


class TestTelling:
    @pytest.fixture
    def scored(self, platform: Platform) -> Platform:
        self.id = platform.ask(callback="https://example.org/done")
        platform.runner().tick()
        platform.score()
        return platform

    def test_each_day_is_announced_once_in_the_same_words(self, scored: Platform) -> None:
        bus: Bus = MemoryBus()
        assert tell_days(scored.requests, bus) == 2
        assert tell_days(scored.requests, bus) == 0
        said = [each.envelope for each in bus.read(SCORING_COMPLETED, 0, 10)]
        assert [(each.data.partition, each.data.rows) for each in said] == list(DAYS.items())
        assert {(each.data.run_id, each.data.version, each.data.model) for each in said} == {
            (self.id, "1", "lightgbm")
        }
        # A process that dies between publishing and noting publishes again: ids follow from the request.
        named = [event_id("scoring-completed", USE_CASE, day, self.id) for day in DAYS]
        assert [each.id for each in said] == named

    def test_a_callback_is_told_once_it_can_be(self, scored: Platform) -> None:
        told: list[tuple[str, str, bytes]] = []
        away = [RequestError("too many wait", status=503)]

        def push(url: str, id: str, body: bytes, /) -> None:
            if away:
                raise away.pop()
            told.append((url, id, body))

        with pytest.raises(RequestError):
            call_back(scored.requests, push)
        assert call_back(scored.requests, push) == 1
        assert call_back(scored.requests, push) == 0
        ((url, id, body),) = told
        assert (url, id) == ("https://example.org/done", f"batch-scores-{self.id}")
        assert b'"state":"done"' in body

    def test_a_callback_that_is_not_allowed_is_let_go(self, scored: Platform) -> None:
        def push(url: str, id: str, body: bytes, /) -> None:
            raise RequestError("not allowed", status=403)

        assert call_back(scored.requests, push) == 1
        assert call_back(scored.requests, push) == 0

    def test_a_receiver_that_is_away_is_left_alone_for_a_while(self, scored: Platform) -> None:
        now, tries = [100.0], 0

        def push(url: str, id: str, body: bytes, /) -> None:
            nonlocal tries
            tries += 1
            raise RequestError("too many wait", status=503)

        teller = Teller("memory://", push, clock=lambda: now[0])
        teller(scored.requests)
        teller(scored.requests)
        assert tries == 1
        now[0] += AGAIN_SECONDS
        teller(scored.requests)
        assert tries == 2


class TestTopic:
    def publish(self, bus: Bus, id: str, use_case: str = USE_CASE) -> None:
        data = ScoringRequested(use_case=use_case, first="2024-03-01", last="2024-03-02")
        bus.publish(SCORING_REQUESTED, envelope(SCORING_REQUESTED, data, id=id, source="test"))

    def consume(self, platform: Platform, bus: Bus, messages: int) -> None:
        listener, stop, seen = Listener(platform.settings, lambda: platform.requests), Flag(), set[int]()

        def handle(received: Received[ScoringRequested]) -> None:
            seen.add(received.sequence)
            if len(seen) == messages:
                stop.set()
            listener.handle(received)

        consume(bus, SCORING_REQUESTED, "batch-scoring", handle, stop=stop, attempts=1, wait=0.05)

    def test_a_message_that_comes_twice_is_one_request(self, platform: Platform) -> None:
        for _ in range(2):  # two brokers: the second one's memory is lost, and it delivers again
            bus: Bus = MemoryBus()
            self.publish(bus, "m1")
            self.consume(platform, bus, 1)
        (request,) = platform.requests.newest()
        assert (request.use_case, request.first, request.key) == (USE_CASE, "2024-03-01", "event m1")

    def test_what_cannot_be_is_put_aside_and_the_next_is_taken(self, platform: Platform) -> None:
        bus: Bus = MemoryBus()
        self.publish(bus, "m1", "nobody")
        self.publish(bus, "m2")
        self.consume(platform, bus, 2)
        (letter,) = bus.read(DEAD_LETTER, 0, 10)
        assert "no use case 'nobody' has a champion" in letter.envelope.data.reason
        assert [each.key for each in platform.requests.newest()] == ["event m2"]


def test_what_waits_is_small() -> None:
    """In a fresh process, for this one has loaded everything."""
    program = (
        "import mlplatform.online.batch_runner, mlplatform.online.batch_scoring, sys;"
        "print([name for name in ('polars', 'lightgbm', 'numpy', 'duckdb', 'pyarrow', 'sklearn')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_broker_that_is_away_is_an_error_only_when_there_is_news(platform: Platform) -> None:
    assert announce(platform.requests, "nats://127.0.0.1:1") == 0
    platform.ask()
    platform.runner().tick()
    platform.score()
    with pytest.raises(BusError):
        announce(platform.requests, "nats://127.0.0.1:1")
    assert len(platform.requests.unannounced()) == 2


@pytest.mark.parametrize("how", ["beside", "signal"])
def test_the_service_ends_with_the_process_beside_it_or_by_a_signal(how: str, tmp_path: Path) -> None:
    """Without a state and without a broker it waits for both."""
    environment = {
        **os.environ,
        "MLPLATFORM_HOME": str(tmp_path),
        "MLPLATFORM_BROKER_URL": "nats://127.0.0.1:1",
    }
    command = [
        sys.executable,
        "-m",
        "mlplatform.online.batch_runner",
        *(["--beside"] if how == "beside" else []),
    ]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2)
        if how == "beside":
            process.stdin.close()
        else:
            process.terminate()
        code = process.wait(60)
    assert code in ((0,) if how == "beside" else (0, -signal.SIGTERM))
