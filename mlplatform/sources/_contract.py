"""What every source can do: hand over deliveries, as they are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mlplatform.errors import ConfigurationError
from mlplatform.stages.ingestion.formats import Format

WHOLE = "all"
"""The partition of a data set that has none."""

SUFFIXES: dict[str, Format] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}


@dataclass(frozen=True)
class Part:
    """One delivered file: where it came from, its format, and its bytes or the file that holds them.

    A path need exist only until the next delivery is asked for: a download is removed then.
    """

    uri: str
    format: Format
    content: Path | bytes
    gzipped: bool = False


@dataclass(frozen=True)
class Delivery:
    """What a source delivered for one partition; no parts: it has nothing.

    `day` names the column whose first ten characters say which rows are this partition's, where a file holds
    several; empty: all rows are.
    """

    partition: str
    parts: tuple[Part, ...]
    day: str = ""


class Source(Protocol):
    """One data set at its origin."""

    def deliveries(self, partitions: Sequence[str] | None) -> Iterator[Delivery]:
        """One delivery per partition, in their order, one at a time and in bounded memory.

        Parameters
        ----------
        partitions
            the days wanted (`YYYY-MM-DD`), or None for a data set that has no days: one delivery, WHOLE.

        Raises
        ------
        SourceError
            if the source cannot be reached or read.
        """
        ...


def format_of(name: str, said: str = "") -> tuple[Format, bool]:
    """Format and whether it is gzip, by a file's name; `said` (an option) wins over the suffix.

    Raises
    ------
    ConfigurationError
        if neither tells.
    """
    gzipped = name.endswith(".gz")
    suffix = f".{said}" if said else Path(name.removesuffix(".gz")).suffix
    if suffix not in SUFFIXES:
        raise ConfigurationError(
            f"the format of {name!r} is not known; allowed are {', '.join(SUFFIXES)}, each also with .gz.",
            hint="Set options.format to csv, jsonl or parquet.",
        )
    return SUFFIXES[suffix], gzipped
