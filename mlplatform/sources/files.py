"""CSV files in a folder, chosen by a pattern; gzip is recognised by the name."""

import gzip
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from mlplatform.errors import ConfigurationError, ContractError, SourceError
from mlplatform.sources._contract import PARTITION_KEY, Source, check_columns, parse


def open(folder: Path, *, path: str, day: str = "") -> Source:
    """Every file that matches `path`, taken together.

    Parameters
    ----------
    path
        a file or a pattern such as `data/*.csv`, relative to the folder of the use case.
    day
        the column whose first ten characters are the day (`YYYY-MM-DD`); needed for daily data sets.

    Raises
    ------
    ConfigurationError
        if `path` is empty or absolute.
    """
    if not path or Path(path).is_absolute():
        raise ConfigurationError(
            f"source 'csv_files' got path {path!r}; allowed: a file or pattern relative to {folder}.",
            hint="Set options.path, e.g. data/orders.csv.",
        )
    return _Files(folder, path, day)


@dataclass(frozen=True)
class _Files:
    folder: Path
    path: str
    day: str

    def read(self, schema: pl.Schema, partitions: Sequence[str] | None) -> pl.DataFrame:
        files = sorted(self.folder.glob(self.path))
        if not files:
            raise SourceError(
                f"no file matches {self.path!r} in {self.folder}.", hint="Check options.path of the data set."
            )
        frames = [_text(file, schema) for file in files]
        text = pl.concat(frames)
        what = f"{self.path!r}"
        if partitions is None:
            return parse(text, schema, what)
        if self.day not in schema:
            raise ConfigurationError(
                f"options.day is {self.day!r}; allowed: a column of the contract ({', '.join(schema)}).",
                hint="Name the column that holds the day or time of a row, or set daily: false.",
            )
        keyed = text.with_columns(pl.col(self.day).str.slice(0, 10).alias(PARTITION_KEY))
        _check_days(keyed, self.day, what)
        wanted = keyed.filter(pl.col(PARTITION_KEY).is_in(list(partitions)))
        return parse(wanted, schema, what).with_columns(wanted[PARTITION_KEY])


def _check_days(keyed: pl.DataFrame, day: str, what: str) -> None:
    """Refuse rows that belong to no day: asked for by day, they would silently never be delivered."""
    lost = keyed.filter(pl.col(PARTITION_KEY).str.to_date("%Y-%m-%d", strict=False).is_null())
    if lost.height:
        raise ContractError(
            f"{what}: column {day!r} has {lost.height} values that begin with no day, "
            f"the first is {lost[day][0]!r}; allowed: YYYY-MM-DD, with or without a time.",
            hint="Ask the deliverer; a row without its day can be put into no partition.",
        )


def _text(file: Path, schema: pl.Schema) -> pl.DataFrame:
    try:
        content = file.read_bytes()
        content = gzip.decompress(content) if file.suffix == ".gz" else content
        frame = pl.read_csv(io.BytesIO(content), infer_schema=False, null_values=["NA", ""])
    except (OSError, EOFError, zlib.error, pl.exceptions.PolarsError) as error:
        raise SourceError(
            f"{file} cannot be read as CSV: {error}.", hint="Ask for the file again, or repair it."
        ) from error
    check_columns(frame.columns, schema, str(file))
    return frame.select(list(schema))
