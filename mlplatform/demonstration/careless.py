"""The careless person of a demonstration: promotes a model by the command line, and does not look afterwards.

It must not know what becomes of it.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from mlplatform.demonstration.plan import USE_CASE, Mistake
from mlplatform.errors import ServiceError

_RESTED = timedelta(hours=12)
"""Replayed time between a mistake that was mended and the next one."""
_MAIN = "from mlplatform.cli import main; main()"


def promotion(mistake: Mistake) -> subprocess.Popen[str]:
    """`mlplatform promote`, begun in the working folder."""
    return subprocess.Popen(
        [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            _MAIN,
            "promote",
            USE_CASE,
            mistake.model,
            "--why",
            mistake.why,
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


@dataclass
class CarelessPerson:
    """Makes one mistake after the other, each when it is due and the one before was mended."""

    mistakes: Iterator[Mistake]
    begin: datetime
    """When the replay begins, in its own time."""
    promote: Callable[[Mistake], subprocess.Popen[str]] = promotion
    """Begins the command that promotes."""

    def __post_init__(self) -> None:
        self._next = next(self.mistakes, None)
        self._process: subprocess.Popen[str] | None = None
        self._not_before = self.begin
        self.made = 0
        """Promotions made so far."""

    def look(self, replayed: datetime, mended: int) -> str:
        """Do what is due; a sentence if a promotion was begun.

        Parameters
        ----------
        mended : rollbacks so far.

        Raises
        ------
        ServiceError
            if a promotion failed.
        """
        if self._process is not None:
            self._ended(self._process)
        if mended < self.made:
            self._not_before = replayed + _RESTED
        if self._next is None or self._process is not None or replayed < self._due(self._next):
            return ""
        mistake, self._next = self._next, next(self.mistakes, None)
        self.made += 1
        self._process = self.promote(mistake)
        return f"somebody promotes `{mistake.model}`: “{mistake.why}”"

    def stop(self) -> None:
        """End a promotion that is going on."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _due(self, mistake: Mistake) -> datetime:
        return max(self.begin + mistake.after, self._not_before)

    def _ended(self, process: subprocess.Popen[str]) -> None:
        if process.poll() is None:
            return
        self._process = None
        if process.returncode:
            assert process.stderr is not None
            raise ServiceError(
                f"the promotion failed: {process.stderr.read()[-1000:]}",
                hint="Run `mlplatform demo` again; its home has the logs.",
            )
