"""The supervisor, with real small processes."""

import contextlib
import functools
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlplatform.crosscutting.processes import ProcessSpec, Supervisor
from mlplatform.errors import ServiceError
from mlplatform_tests.crosscutting.brokers import free_port

SLEEPER = "import time; time.sleep(600)"
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.getpid(), flush=True)
time.sleep(600)
"""
PARENT = f"""
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, '-c', {SLEEPER!r}])
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
time.sleep(600)
"""
SUPERVISED = """
import pathlib, sys
from mlplatform.crosscutting.processes import ProcessSpec, Supervisor
home = pathlib.Path(sys.argv[1])
def spec(name):
    pid = home / f"{name}.pid"
    return ProcessSpec(name, (sys.executable, "-c", sys.argv[2], str(pid)), home / f"{name}.log",
                       ready=lambda: pid.exists() and pid.read_text() != "")
def note(name, event):
    print(name, event, flush=True)
Supervisor([spec("one"), spec("two")], progress=note).run(lambda: print("all ready", flush=True))
print("supervisor over", flush=True)
"""


def spec(tmp_path: Path, code: str, *arguments: str, name: str = "worker") -> ProcessSpec:
    return ProcessSpec(name, (sys.executable, "-c", code, *arguments), tmp_path / f"{name}.log")


def says(log: Path, text: str) -> Callable[[], bool]:
    return lambda: log.exists() and text in log.read_text()


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def runs(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True
    ).stdout.strip()
    return bool(state) and not state.startswith("Z")


def has_lines(path: Path, count: int) -> bool:
    return path.read_text().count("\n") == count


def watched_until(supervisor: Supervisor, condition: Callable[[], bool]) -> None:
    def checked() -> bool:
        supervisor.check()
        return condition()

    wait_until(checked)


def pid_in(path: Path) -> int:
    wait_until(lambda: path.exists() and path.read_text().strip() != "")
    return int(path.read_text())


@contextlib.contextmanager
def stopping(supervisor: Supervisor) -> Iterator[Supervisor]:
    try:
        yield supervisor
    finally:
        supervisor.stop()


def test_each_is_ready_before_the_next_starts_and_stops_in_reverse(tmp_path: Path) -> None:
    slow = "import time; time.sleep(0.3); print('listening', flush=True); time.sleep(600)"
    events: list[str] = []
    specs = [
        ProcessSpec(
            name,
            (sys.executable, "-c", slow),
            tmp_path / f"{name}.log",
            ready=says(tmp_path / f"{name}.log", "listening"),
        )
        for name in ("one", "two")
    ]
    with stopping(
        Supervisor(specs, progress=lambda name, event: events.append(f"{name} {event}"))
    ) as supervisor:
        supervisor.start()
    assert events == ["one starting", "one ready", "two starting", "two ready", "two stopped", "one stopped"]


def test_the_environment_is_added_and_all_output_goes_to_the_log(tmp_path: Path) -> None:
    code = "import os, sys; print(os.environ['GREETING']); print('PATH' in os.environ, file=sys.stderr)"
    log = tmp_path / "deep" / "worker.log"
    worker = ProcessSpec("worker", (sys.executable, "-c", code), log, environment={"GREETING": "hello ✈"})
    with stopping(Supervisor([worker])) as supervisor:
        supervisor.start()
        wait_until(lambda: log.read_text().splitlines() == ["hello ✈", "True"])


def test_a_killed_process_is_restarted(tmp_path: Path) -> None:
    code = "import os, sys, time; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n'); time.sleep(600)"
    pids = tmp_path / "pids"
    pids.touch()
    with stopping(Supervisor([spec(tmp_path, code, str(pids))], backoff=0.01)) as supervisor:
        supervisor.start()
        for starts in (1, 2, 3):
            watched_until(supervisor, functools.partial(has_lines, pids, starts))
            os.kill(int(pids.read_text().split()[-1]), signal.SIGKILL)
        watched_until(supervisor, functools.partial(has_lines, pids, 4))
    assert not any(runs(int(pid)) for pid in pids.read_text().split())


def test_a_restart_ends_what_the_dead_one_left(tmp_path: Path) -> None:
    child = tmp_path / "child.pid"
    events: list[str] = []
    supervisor = Supervisor(
        [spec(tmp_path, PARENT, str(child))], progress=lambda _, event: events.append(event)
    )
    with stopping(supervisor):
        supervisor.start()
        orphan = pid_in(child)
        os.kill(os.getpgid(orphan), signal.SIGKILL)  # the group's id is the parent's pid
        watched_until(supervisor, lambda: "died" in events)
        wait_until(lambda: not runs(orphan))


def test_back_off_doubles_and_the_fifth_death_ends_it_with_the_log(tmp_path: Path) -> None:
    broken = spec(tmp_path, "print('no such table: flights'); raise SystemExit(3)")
    starts: list[float] = []

    def note(name: str, event: str) -> None:
        if event == "starting":
            starts.append(time.monotonic())

    with pytest.raises(ServiceError, match=r"worker died 5 times(.|\n)*code 3(.|\n)*no such table") as caught:
        Supervisor([broken], progress=note, backoff=0.1).run()
    assert str(tmp_path / "worker.log") in caught.value.hint
    gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert all(gap >= least for gap, least in zip(gaps, (0.1, 0.2, 0.4, 0.8), strict=True))


def test_one_that_ends_before_it_is_ready_fails_the_start_and_stops_the_others(tmp_path: Path) -> None:
    pid = tmp_path / "child.pid"
    good = spec(tmp_path, PARENT, str(pid), name="good")
    good = ProcessSpec("good", good.command, good.log, ready=pid.exists)
    bad = ProcessSpec(
        "bad",
        (sys.executable, "-c", "raise SystemExit('wrong key')"),
        tmp_path / "bad.log",
        ready=lambda: False,
    )
    with pytest.raises(ServiceError, match=r"bad ended with code 1 before it was ready(.|\n)*wrong key"):
        Supervisor([good, bad]).start()
    assert not runs(pid_in(pid))


def test_one_that_is_never_ready_fails_the_start(tmp_path: Path) -> None:
    lazy = ProcessSpec("lazy", (sys.executable, "-c", SLEEPER), tmp_path / "lazy.log", ready=lambda: False)
    with pytest.raises(ServiceError, match=r"lazy was not ready after 0\.3 s"):
        Supervisor([lazy], ready_timeout=0.3).start()


def test_a_missing_program_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="worker cannot be started"):
        Supervisor([ProcessSpec("worker", ("no-such-program",), tmp_path / "log")]).start()


def test_a_taken_port_is_found_before_anything_starts(tmp_path: Path) -> None:
    events: list[str] = []
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        specs = [
            spec(tmp_path, SLEEPER, name="free"),
            ProcessSpec("ui", ("true",), tmp_path / "ui.log", port=port, port_setting="MLPLATFORM_UI_PORT"),
        ]
        with pytest.raises(ServiceError, match=f"ui: port {port} on 127.0.0.1 is taken") as caught:
            Supervisor(specs, progress=lambda _, event: events.append(event)).start()
    assert "MLPLATFORM_UI_PORT" in caught.value.hint
    assert events == []


def test_a_port_left_in_time_wait_is_free(tmp_path: Path) -> None:
    port = free_port()
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as every server does
        server.bind(("127.0.0.1", port))
        server.listen()
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = server.accept()
        accepted.close()  # who closes first keeps the port in TIME_WAIT
        client.close()
    worker = ProcessSpec("worker", (sys.executable, "-c", SLEEPER), tmp_path / "log", port=port)
    with stopping(Supervisor([worker])) as supervisor:
        supervisor.start()


def test_one_that_ignores_sigterm_is_killed_after_the_grace_period(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    command = (sys.executable, "-c", STUBBORN)
    worker = ProcessSpec("worker", command, log, ready=lambda: log.read_text().endswith("\n"))
    supervisor = Supervisor([worker], grace=0.3)
    supervisor.start()
    supervisor.stop()
    supervisor.stop()
    assert not runs(int(log.read_text()))


@contextlib.contextmanager
def supervised(tmp_path: Path, code: str = PARENT) -> Iterator[subprocess.Popen[str]]:
    """A supervisor in its own process and session, past its start, running two families."""
    command = [sys.executable, "-c", SUPERVISED, str(tmp_path), code]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout is not None
        while (line := process.stdout.readline()) != "all ready\n":
            assert line, "the supervisor ended early"
        yield process
    finally:
        process.kill()
        process.wait()


def family(tmp_path: Path) -> list[int]:
    grandchildren = [pid_in(tmp_path / f"{name}.pid") for name in ("one", "two")]
    return grandchildren + [os.getpgid(pid) for pid in grandchildren]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_every_process_with_its_descendants(tmp_path: Path, number: int) -> None:
    with supervised(tmp_path) as process:
        pids = family(tmp_path)
        assert all(runs(pid) for pid in pids)
        os.killpg(process.pid, number)  # what a terminal does on Ctrl-C
        output, _ = process.communicate(timeout=30)
        assert output.splitlines() == ["two stopped", "one stopped", "supervisor over"]
        assert process.returncode == 0
        assert not any(runs(pid) for pid in pids)


def test_a_second_ctrl_c_does_not_wait_for_the_grace_period(tmp_path: Path) -> None:
    stubborn = (
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + PARENT
    )  # inherited by the child
    with supervised(tmp_path, stubborn) as process:
        pids = family(tmp_path)
        wait_until(lambda: all(runs(pid) for pid in pids))
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=8)  # two grace periods are 20 s
        assert not any(runs(pid) for pid in pids)


def test_killing_the_supervisor_with_9_leaves_nothing(tmp_path: Path) -> None:
    with supervised(tmp_path) as process:
        pids = family(tmp_path)
        process.kill()
        process.wait()
        wait_until(lambda: not any(runs(pid) for pid in pids))
