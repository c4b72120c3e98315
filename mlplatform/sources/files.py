"""Files in a folder, chosen by a pattern: CSV, JSON lines or Parquet, plain or gzip."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlplatform.errors import ConfigurationError, SourceError
from mlplatform.sources._contract import WHOLE, Delivery, Part, Source, format_of

PLACE = "{partition}"


def open(folder: Path, *, path: str, day: str = "", format: str = "") -> Source:
    """Every file that matches `path`.

    Parameters
    ----------
    path
        a file or a pattern such as `data/*.csv`, relative to the folder of the use case. With `{partition}`
        in it, such as `data/orders-{partition}.csv.gz`, a file holds one day.
    day
        where files hold many days: the column whose first ten characters are the day (`YYYY-MM-DD`).
    format
        csv, jsonl or parquet, where the name does not tell.

    Raises
    ------
    ConfigurationError
        if `path` is empty or absolute, or the format is not known.
    """
    if not path or Path(path).is_absolute() or ".." in Path(path).parts:
        raise ConfigurationError(
            f"source 'files' got path {path!r}; allowed: a file or pattern relative to {folder}.",
            hint="Set options.path, e.g. data/orders.csv.",
        )
    if day and PLACE in path:
        raise ConfigurationError(
            f"source 'files' got both {PLACE} in path and day {day!r}; allowed: one of them.",
            hint="Files that hold one day each need no column that tells the day.",
        )
    format_of(path, format)
    return _Files(folder, path, day, format)


@dataclass(frozen=True)
class _Files:
    folder: Path
    path: str
    day: str
    format: str

    def deliveries(self, partitions: Sequence[str] | None) -> Iterator[Delivery]:
        if PLACE in self.path:
            for partition in [WHOLE] if partitions is None else partitions:
                yield Delivery(partition, self._parts(self.path.replace(PLACE, partition)))
            return
        parts = self._parts(self.path)
        if not parts:
            raise SourceError(
                f"no file matches {self.path!r} in {self.folder}.", hint="Check options.path of the data set."
            )
        if partitions is None:
            yield Delivery(WHOLE, parts)
            return
        if not self.day:
            raise ConfigurationError(
                f"source 'files' with path {self.path!r} is asked for days; allowed: {PLACE} in the path, or "
                "options.day.",
                hint="Name the column that holds the day or time of a row, or set daily: false.",
            )
        for partition in partitions:
            yield Delivery(partition, parts, self.day)

    def _parts(self, pattern: str) -> tuple[Part, ...]:
        files = sorted(self.folder.glob(pattern))
        return tuple(part_of(file, self.format) for file in files if file.is_file())


def part_of(file: Path, format: str = "") -> Part:
    """A file as a delivered part."""
    kind, gzipped = format_of(file.name, format)
    return Part(file.absolute().as_uri(), kind, file, gzipped)
