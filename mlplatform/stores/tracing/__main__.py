"""One trail as JSON: `python -m mlplatform.stores.tracing score|batch ID`, for the service's page.

A trail reads much and computes features again: that ends with this process. It must not print anything but
the trail, or why there is none.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import MlplatformError, NotFound
from mlplatform.stores.tracing.published import published_reads

DONE, FAILED, ABSENT = 0, 1, 3
"""Exit codes: the trail is printed; it cannot be read; there is no such id."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the trail that is asked for; the exit code."""
    what, id = sys.argv[1:] if arguments is None else arguments
    os.nice(10)  # what answers questions goes before
    try:
        told = _trail(what, id)
    except MlplatformError as error:
        print(f"{error} {error.hint}".strip())
        return ABSENT if isinstance(error, NotFound) else FAILED
    sys.stdout.buffer.write(msgspec.json.encode(told, enc_hook=str))
    return DONE


def _trail(what: str, id: str) -> dict[str, Any]:
    from mlplatform.stores import tracing

    settings = Settings.load()
    if what == "batch":
        return tracing.touched_by(settings, id)
    return tracing.trace(settings, id, published_reads(settings.home))


if __name__ == "__main__":
    sys.exit(main())
