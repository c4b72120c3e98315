"""Pages of drift reports, made when somebody asks: each once, beside the process that scores.

The assets of monitoring keep what a page is made of (`<name>.snapshot.gz`); the page is kept beside it. It
must not import Evidently.
"""

import asyncio
import logging
from pathlib import Path

from mlplatform.crosscutting.evidently_report import SNAPSHOT
from mlplatform.errors import RequestError
from mlplatform.online.child import Children
from mlplatform.online.report_page import is_made

_LOG = logging.getLogger(__name__)
WAIT_SECONDS = 20.0
"""How long one request waits for a page; then it is told to come again."""
MOST_SECONDS = 180.0
"""How long making one may take."""
_MODULE = "mlplatform.online.report_page"


class Reports:
    """Has pages made; one per process."""

    def __init__(self, wait: float = WAIT_SECONDS, module: str = _MODULE) -> None:
        # `module` makes a page when it is run with a snapshot and a file.
        self._children, self._wait, self._module = Children(), wait, module
        self._making: dict[Path, asyncio.Task[None]] = {}

    async def made(self, file: Path) -> bool:
        """Whether the page is there; it is made if it can be, and False means that this goes on.

        A page without a snapshot is there or not, whatever is done. `file` is checked by the caller.

        Raises
        ------
        RequestError
            500 if it cannot be made, 503 if too many wait or it takes too long.
        """
        snapshot = file.with_name(f"{file.stem}{SNAPSHOT}")
        if not snapshot.exists() or is_made(snapshot, file):
            return True
        if file not in self._making:
            task = asyncio.create_task(self._make(snapshot, file))
            task.add_done_callback(lambda done: self._forget(file, done))
            self._making[file] = task
        task = self._making[file]
        await asyncio.wait({task}, timeout=self._wait)
        if not task.done():
            return False
        task.result()
        return True

    def _forget(self, file: Path, done: "asyncio.Task[None]") -> None:
        self._making.pop(file, None)
        if not done.cancelled():
            done.exception()  # who asked was told, or went away

    async def _make(self, snapshot: Path, file: Path) -> None:
        ended = await self._children.run(self._module, [str(snapshot), str(file)], seconds=MOST_SECONDS)
        if ended.code:
            said = ended.err.decode(errors="replace").strip()
            _LOG.error("the page %s was not made: %s", file, said[-2_000:] or f"exit code {ended.code}")
            raise RequestError(
                f"the page of {file.stem} cannot be made; the server's log says why.",
                status=500,
                hint="Its figures are there as .json; materialise drift_report again for another page.",
            )
