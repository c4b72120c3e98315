"""`mlplatform up` as a person runs it: a process of its own, on free ports, with an empty home."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from mlplatform_tests.crosscutting.brokers import free_port

COMMAND = (sys.executable, "-c", "from mlplatform.cli import main; main()")


class PlatformUp:
    """Running, with every service ready, inside the `with` block."""

    def __init__(self, folder: Path) -> None:
        self.home, self.folder = folder / "home", folder
        self.ui = f"http://127.0.0.1:{(ui := free_port())}"
        self.scoring = f"http://127.0.0.1:{(scoring := free_port())}"
        self.broker = f"nats://127.0.0.1:{free_port()}"
        others = {k: v for k, v in os.environ.items() if not k.startswith(("MLPLATFORM_", "DAGSTER_"))}
        self.environment = {
            **others,
            "MLPLATFORM_HOME": str(self.home),
            "MLPLATFORM_UI_PORT": str(ui),
            "MLPLATFORM_SCORING_PORT": str(scoring),
            "MLPLATFORM_INGESTION_PORT": str(free_port()),
            "MLPLATFORM_PREPARATION_PORT": str(free_port()),
            "MLPLATFORM_BROKER_URL": self.broker,
        }
        self.out, self.err = folder / "out.txt", folder / "err.txt"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "PlatformUp":
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self._process = subprocess.Popen(
                (*COMMAND, "up"),
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,  # so that the tests' own Ctrl-C is not its
            )
        try:
            wait_until(lambda: "Ctrl-C" in self.out.read_text(), 180, self._look)
        except BaseException:
            self.end(signal.SIGTERM)
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.end(signal.SIGTERM)

    def end(self, number: int) -> int | None:
        """Send a signal and wait for the end; returns the exit code."""
        if self._process is None:
            return None
        if self._process.poll() is None:
            self._process.send_signal(number)
        return self._process.wait(timeout=60)

    def processes(self) -> list[int]:
        """The supervisor and all that it started, directly or not."""
        assert self._process is not None
        found = [self._process.pid]
        for pid, parent in _parents():
            if parent in found:
                found.append(pid)
        return found

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another command of the same deployment."""
        return subprocess.run(
            (*COMMAND, *arguments),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def logs(self, but: str = "") -> str:
        """Everything the services wrote, one of them left out."""
        files = [file for file in sorted(self.home.glob("**/*.log")) if file.stem != but]
        return "\n".join(file.read_text() for file in files)

    def _look(self) -> str:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"it ended with code {self._process.returncode}: {self.err.read_text()}")
        return self.err.read_text()


def wait_until(condition: Callable[[], bool], seconds: float, said: Callable[[], str] = str) -> None:
    """Wait for a condition; when time is up, fail with what `said` gives. It may raise to end early."""
    deadline = time.monotonic() + seconds
    while not condition():
        what = said()
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {what}"
        time.sleep(0.1)


def alive(pids: list[int]) -> list[str]:
    """Those of the processes that still run, zombies not counted, as `ps` shows them."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,stat=,args="], capture_output=True, text=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    return [" ".join(row) for row in rows if int(row[0]) in pids and not row[1].startswith("Z")]


def _parents() -> list[tuple[int, int]]:
    """(process, parent) of all processes, parents before children as far as their numbers tell."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True).stdout
    return sorted((int(pid), int(parent)) for pid, parent in (line.split() for line in listed.splitlines()))
