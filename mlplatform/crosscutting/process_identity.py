"""Which process is meant: a number that another process may get later, with what tells the two apart.

It must not end a process.
"""

import os
import socket
from pathlib import Path

import msgspec

_BOOT = Path("/proc/sys/kernel/random/boot_id")


class ProcessIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """A process of a machine."""

    host: str
    boot: str = ""
    """Names the time between two starts of the machine; empty where the system does not tell."""
    pid: int = 0
    """0: a process of that machine that is not known yet."""
    started: int = 0
    """Clock ticks from the machine's start to the process's; 0 where the system does not tell."""


def this_machine() -> ProcessIdentity:
    """The machine, and no process of it."""
    return ProcessIdentity(host=socket.gethostname(), boot=_boot())


def identity_of(pid: int) -> ProcessIdentity:
    """The process that has this number on this machine now."""
    return msgspec.structs.replace(this_machine(), pid=pid, started=_started(pid) or 0)


def is_dead(process: ProcessIdentity) -> bool:
    """Whether the process is known not to run any more.

    False where that cannot be said: it is another machine's, has no number yet, or may have been followed by
    another one that the system does not tell apart.
    """
    if process.host != socket.gethostname():
        return False
    boot = _boot()
    if process.boot and boot and process.boot != boot:
        return True
    if not process.pid:
        return False
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # somebody else's process has the number
    started = _started(process.pid)
    if started is None:
        return Path("/proc/self/stat").exists()  # a zombie, or gone since
    return bool(process.started) and started != process.started


def _boot() -> str:
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""


def _started(pid: int) -> int | None:
    """Clock ticks at which a process started; None for a zombie, and where there is no /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = stat.rpartition(b")")[2].split()  # the name before it may hold anything
    return None if fields[0] in b"ZX" else int(fields[19])
