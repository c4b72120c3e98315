"""Fixtures of several folders: the small use case as files, and once for all tests, materialised."""

import fcntl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from mlplatform_tests.small import world
from mlplatform_tests.small.zygote import Zygote


def pytest_configure(config: pytest.Config) -> None:
    """Dagster marks what we use of it as beta at every call, hundreds of times."""
    config.addinivalue_line("filterwarnings", r"ignore:.* is currently in (beta|preview)")


@dataclass(frozen=True)
class Finished:
    """A project with the small use case whose first `mlplatform run --json` has ended; not to be changed."""

    project: Path
    folder: Path
    home: Path
    first_run: CompletedProcess[str]


@pytest.fixture
def late_orders(tmp_path: Path) -> Path:
    """The folder of a small use case that a test may change."""
    return world.make_use_case(tmp_path / "project")


@pytest.fixture(scope="session")
def mlplatform() -> Iterator[Zygote]:
    """The command line, each command in a fresh fork of one process: `mlplatform.run("status", …)`."""
    zygote = Zygote()
    yield zygote
    zygote.close()


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Finished:
    """The small use case, run by the command line; made once, also when tests run in several processes."""
    base = tmp_path_factory.getbasetemp()
    place = (base if worker_id == "master" else base.parent) / "finished"
    return once(place, make_finished)


def make_finished(place: Path) -> None:
    """Write the use case, run it, and keep what the command said."""
    world.make_use_case(place)
    done = world.cli("run", world.NAME, "--json", home=place / "home", cwd=place)
    (place / "returncode").write_text(str(done.returncode))
    (place / "stdout").write_text(done.stdout)
    (place / "stderr").write_text(done.stderr)


def once(place: Path, make: Callable[[Path], None]) -> Finished:
    """Make it, or wait for the process that does."""
    place.mkdir(exist_ok=True)
    with (place / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "stderr").exists():
            make(place)
    said = CompletedProcess(
        ["mlplatform", "run"],
        int((place / "returncode").read_text()),
        (place / "stdout").read_text(),
        (place / "stderr").read_text(),
    )
    return Finished(place, place / world.NAME, place / "home", said)
