"""What the services were told of a declaration, which they cannot read: its streams, and what cleaning joins.

`mlplatform up`, `serve` and `prepare` write it (`online/streams.py`). It must not write.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from mlplatform.errors import StoreError


class Published(NamedTuple):
    """Of one use case; nothing where nothing was published yet."""

    streams: dict[str, dict[str, str]]
    """Of each stream, which type of event is a row of which source."""
    reads: dict[str, tuple[str, ...]]
    """Data set → those that its cleaning reads beside it."""


def published(home: Path, use_case: str) -> Published:
    """What was published last of a use case.

    Raises
    ------
    StoreError
        if the file is damaged.
    """
    path = home / "streams" / f"{use_case}.json"
    try:
        told = msgspec.json.decode(path.read_bytes())
        streams = {name: dict(stream["sources"]) for name, stream in told["streams"].items()}
        reads = {name: tuple(others) for name, others in told.get("reads", {}).items()}
    except FileNotFoundError:
        return Published({}, {})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"{path} cannot be read: {error}.", hint="`mlplatform up` writes it again."
        ) from error
    return Published(streams, reads)


def published_reads(home: Path) -> Callable[[str], Mapping[str, tuple[str, ...]]]:
    """Use case → what cleaning joins in it, as published."""
    return lambda use_case: published(home, use_case).reads
