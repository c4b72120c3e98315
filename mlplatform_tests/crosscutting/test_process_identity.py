"""Which process is meant: dead is said only of one that certainly is."""

import os
import signal
import subprocess
import sys

import msgspec
import pytest

from mlplatform.crosscutting.process_identity import identity_of, is_dead, this_machine

with_proc = pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="skipped: no /proc")


def sleeper() -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])


def test_a_process_is_alive_until_it_is_killed_and_a_zombie_is_dead() -> None:
    process = sleeper()
    known = identity_of(process.pid)
    assert not is_dead(known)
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is not reaped
    assert is_dead(known)
    process.wait()
    assert is_dead(known)


def test_this_process_lives_and_a_machine_without_a_number_is_nobody() -> None:
    assert not is_dead(identity_of(os.getpid()))
    assert not is_dead(this_machine())


@with_proc
def test_another_process_that_got_the_number_is_not_the_one_that_was_meant() -> None:
    me = identity_of(os.getpid())
    assert is_dead(msgspec.structs.replace(me, started=me.started - 1))
    assert not is_dead(msgspec.structs.replace(me, started=0))  # not told apart: not judged


@with_proc
def test_after_the_machine_was_started_anew_nobody_of_before_lives() -> None:
    me = identity_of(os.getpid())
    assert is_dead(msgspec.structs.replace(me, boot="another"))
    assert not is_dead(msgspec.structs.replace(me, boot=""))


def test_a_process_of_another_machine_is_not_judged() -> None:
    process = sleeper()
    known = msgspec.structs.replace(identity_of(process.pid), host="elsewhere")
    process.kill()
    process.wait()
    assert not is_dead(known)
