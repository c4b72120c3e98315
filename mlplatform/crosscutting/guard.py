"""The supervisor's second line of defence: ends its processes when it was killed with -9 itself.

Runs as `python -m mlplatform.crosscutting.guard`; standard input carries `+group` and `-group` lines and ends
with the supervisor. It must not import anything heavy: it stays in memory as long as the platform runs.
"""

import glob
import os
import signal
import sys
import time
from collections.abc import Iterable

POLL_SECONDS = 0.05


def signal_group(group: int, number: int) -> bool:
    """Signal a process group (0 only asks); false if it has no member left."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # macOS answers "not permitted" for a group of zombies
        return False
    return True


def lives(group: int) -> bool:
    """Whether a process group has a member that still runs.

    Zombies do not count where /proc tells them apart: a container's first process may never reap them.
    """
    if not signal_group(group, 0):
        return False
    states = [_state_and_group(path) for path in glob.iglob("/proc/[0-9]*/stat")]
    return not states or any(state not in "ZX" for state, number in states if number == group)


def _state_and_group(stat: str) -> tuple[str, int]:
    try:
        with open(stat, "rb") as file:
            fields = file.read().rpartition(b")")[2].split()  # the name before it may hold anything
    except OSError:  # it ended meanwhile
        return "X", 0
    return fields[0].decode(), int(fields[2])


def end_groups(groups: Iterable[int], grace: float) -> None:
    """SIGTERM to the process groups, SIGKILL to what is left of them after `grace` seconds."""
    left = [group for group in groups if signal_group(group, signal.SIGTERM)]
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline and any(lives(group) for group in left):
        time.sleep(POLL_SECONDS)
    for group in left:
        signal_group(group, signal.SIGKILL)


def main(grace: float = 5.0) -> None:
    """Keep the list of groups until end of file, then end those that are left on it."""
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    end_groups(groups, grace)


if __name__ == "__main__":
    main()
