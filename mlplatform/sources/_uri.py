"""A delivery at a place that a message or a person names, instead of the declared source."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlplatform.errors import ConfigurationError, SourceError
from mlplatform.sources import http
from mlplatform.sources._contract import WHOLE, Delivery
from mlplatform.sources.files import part_of


def delivery_at(uri: str, partitions: Sequence[str] | None, folder: Path) -> Iterator[Delivery]:
    """The file at `uri` (`file:` or `http(s):`, or a path) as the delivery of one partition.

    Raises
    ------
    SourceError
        if there is no such file, or it cannot be fetched.
    ConfigurationError
        if the URI is of another kind, or several partitions are asked for.
    """
    if partitions is not None and len(partitions) != 1:
        raise ConfigurationError(
            f"{uri} is one delivery, but {len(partitions)} partitions are asked for; allowed: one.",
            hint="Ingest one partition at a time.",
        )
    partition = WHOLE if partitions is None else partitions[0]
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https"):
        for delivery in http.open(folder, url=uri).deliveries(None):
            yield replace(delivery, partition=partition)
        return
    if parts.scheme not in ("", "file"):
        raise ConfigurationError(
            f"got URI {uri!r}; allowed: file:, http: or https:.",
            hint="Put the delivery where it can be read.",
        )
    file = Path(unquote(parts.path)) if parts.scheme else Path(uri)
    if not file.is_file():
        raise SourceError(f"there is no file {file}.", hint="Check the path of the delivery.")
    yield Delivery(partition, (part_of(file),))
