"""`mlplatform demo --quick` as a person runs it: both mistakes are mended, and nothing is left of it."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from mlplatform_tests.cli.platform_up import COMMAND, wait_until
from mlplatform_tests.small.world import environ

PATIENCE = 1800
"""Seconds: on a machine that does nothing else a quick demonstration takes twelve minutes."""


class Running:
    """A demonstration at work; what it says is in files."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.home, self.out, self.err = folder / "demo", folder / "out.json", folder / "err.txt"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                (*COMMAND, "demo", "--quick", "--home", str(self.home), *arguments),
                cwd=folder,
                env=environ(folder / "nothing"),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def said(self, word: str, seconds: float) -> None:
        """Wait until it has said a word; fail if it ends before."""

        def look() -> str:
            text = self.err.read_text()
            assert self.process.poll() is None, text[-3000:]
            return text[-3000:]

        wait_until(lambda: word in self.err.read_text(), seconds, look)

    def left(self) -> list[str]:
        """Processes of its home that run, whoever their parent is by now."""
        return [" ".join(command) for command in _commands(self.home)]

    def end(self) -> None:
        """In order, if it still runs."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)


@pytest.fixture
def demo(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Running]:
    running = Running(tmp_path, *getattr(request, "param", ()))
    yield running
    running.end()


@pytest.mark.slow
@pytest.mark.parametrize("demo", [("--json",)], indirect=True)
def test_two_weeks_with_two_mistakes(demo: Running) -> None:
    code = demo.process.wait(PATIENCE)
    assert code == 0, demo.err.read_text()[-3000:]
    told = json.loads(demo.out.read_text())
    assert told["scores"] == 13_016
    assert told["events"] > 3 * told["scores"] * 0.9
    assert (told["different"], told["failed_requests"], told["not_compared"]) == (0, 0, 0)
    assert told["compared"] == told["scores"]
    assert [each["model"] for each in told["rollbacks"]] == ["hasty", "leaking"]
    hasty, leaking = told["rollbacks"]
    assert "log loss" in hasty["cause"]
    assert "was late for" in leaking["cause"]
    assert hasty["hours_to_notice"] >= 60
    assert told["answered_by"]["previous"] > 0
    assert told["retrainings"]
    assert {each["trigger"] for each in told["retrainings"]} == {"features-generated"}
    for each in (*told["rollbacks"], *told["retrainings"], *told["alerts"]):
        assert each["cause"].strip()
    assert all(each["remedy"].strip() for each in told["alerts"])
    assert demo.left() == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_however_it_is_ended_no_process_is_left(demo: Running, number: int) -> None:
    demo.said("is the champion: it trains in a second", PATIENCE)
    url = next(word for word in demo.err.read_text().split() if "/status/" in word)
    assert httpx.get(url, trust_env=False).is_success
    assert len(demo.left()) >= 6
    demo.process.send_signal(number)
    assert demo.process.wait(60) == (130 if number == signal.SIGINT else -number)
    wait_until(lambda: demo.left() == [], 30, lambda: "\n".join(demo.left()))


def test_a_wrong_plan_is_told_before_anything_is_made(tmp_path: Path) -> None:
    said = subprocess.run(
        (*COMMAND, "demo", "--to", "2013-10-05", "--home", str(tmp_path / "demo")),
        env=environ(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 1
    assert "at least 14 days" in said.stderr
    assert not (tmp_path / "demo").exists()


def _commands(home: Path) -> Iterator[list[str]]:
    mark = f"MLPLATFORM_HOME={home}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            inside = mark in (folder / "environ").read_bytes().split(b"\0")
            command = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it ended meanwhile, or is another user's
            continue
        if inside and command != [""] and int(folder.name) != os.getpid():
            yield command
