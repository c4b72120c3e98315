"""Where a candidate was made: machine, state of the code. It must not raise, nor take long: it only tells."""

import os
import platform
import subprocess
from pathlib import Path

import msgspec

SECONDS = 5
"""How long git may take; after that nothing is said."""


class Code(msgspec.Struct, frozen=True):
    """The state of the repository a folder lies in; empty where there is none, or no git."""

    commit: str = ""
    """The checked-out commit, 40 or 64 hexadecimal digits."""
    dirty: bool = False
    """Whether tracked files of the repository, or any file of the folder, differ from that commit."""

    def __str__(self) -> str:
        """For people: the commit in short, and whether it tells all."""
        return f"{self.commit[:12]}{' and uncommitted changes' if self.dirty else ''}" or "no repository"


def environment() -> dict[str, str]:
    """What the machine is: operating system, processor, number of processors."""
    return {
        "platform": platform.platform(),
        "machine": platform.machine(),
        "implementation": platform.python_implementation(),
        "cpu_count": str(os.cpu_count() or 0),
    }


def code_of(folder: Path) -> Code:
    """The commit of the repository that keeps this folder; a folder that the repository ignores has none."""
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    if not commit or _git(folder, "check-ignore", "."):
        return Code()
    tracked = _git(folder, "status", "--porcelain", "--untracked-files=no")
    own = _git(folder, "status", "--porcelain", "--untracked-files=normal", "--", ".")
    # What git does not tell in time may be anything.
    return Code(commit, dirty=tracked != "" or own != "")


def reviewers(folder: Path, commit: str) -> tuple[str, ...]:
    """Who reviewed the newest commit, up to this one, that changed a folder: its lines `Reviewed-by: …`."""
    told = _git(folder, "log", "-1", "--format=%(trailers:key=Reviewed-by,valueonly)", commit, "--", ".")
    return tuple(line.strip() for line in (told or "").splitlines() if line.strip())


def _git(folder: Path, *arguments: str) -> str | None:
    """What git says of this folder; None if it cannot say."""
    # A hook's variables name a repository, which need not be the folder's.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        ended = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(folder), *arguments],
            env=environ | {"GIT_TERMINAL_PROMPT": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ended.stdout.strip() if ended.returncode == 0 else None
