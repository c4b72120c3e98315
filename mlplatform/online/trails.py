"""Trails of scores and batches for the service: another process reads them, one at a time.

It must not read the lake itself, nor make a page.
"""

import logging
import re
from typing import Any

import msgspec

from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import RequestError
from mlplatform.online.child import Children
from mlplatform.online.replies import LONGEST_ERROR, shown
from mlplatform.stores.tracing.__main__ import ABSENT

_LOG = logging.getLogger(__name__)
MOST_SECONDS = 120.0
_MODULE = "mlplatform.stores.tracing"
SCORE = re.compile(r"[0-9a-f]{32}", re.ASCII)
BATCH = re.compile(r"[0-9a-f]{24}", re.ASCII)


class Trails:
    """Traces scores and batches of a deployment."""

    def __init__(self, settings: Settings) -> None:
        self._children = Children()
        self._environ = {"MLPLATFORM_HOME": str(settings.home), "MLPLATFORM_STATE_URL": settings.state_url}

    async def score(self, id: str) -> dict[str, Any]:
        """The trail of a score back to its files, as `mlplatform trace ID --json` tells it.

        Raises
        ------
        RequestError
            404 if there is no such score; 500, 503 if the trail cannot be read, or not now.
        """
        if not SCORE.fullmatch(id):
            raise _absent(f"got prediction id {shown(id)}; one has 32 hexadecimal digits.")
        return await self._read("score", id)

    async def batch(self, id: str) -> dict[str, Any]:
        """What a batch went into, as `mlplatform trace --batch ID --json` tells it; raises as `score`."""
        if not BATCH.fullmatch(id):
            raise _absent(f"got batch {shown(id)}; the id of one has 24 hexadecimal digits.")
        return await self._read("batch", id)

    async def _read(self, what: str, id: str) -> dict[str, Any]:
        ended = await self._children.run(_MODULE, [what, id], seconds=MOST_SECONDS, environ=self._environ)
        if ended.code == 0:
            found: dict[str, Any] = msgspec.json.decode(ended.out)
            return found
        said = ended.out.decode(errors="replace").strip()
        if ended.code == ABSENT:
            raise _absent(said)
        _LOG.error("%s %s was not traced: %s %s", what, id, said, ended.err.decode(errors="replace")[-2_000:])
        raise RequestError(said or f"{what} {id} cannot be traced; the server's log says why.", status=500)


def _absent(said: str) -> RequestError:
    return RequestError(said[:LONGEST_ERROR], status=404)
