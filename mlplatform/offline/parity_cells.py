"""Whether two executors gave the same cells: by type and by every bit, missing being equal to missing only.

It must not know where values come from.
"""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl


def different_rows(batch: pl.Series, online: Sequence[Any]) -> list[int]:
    """Positions at which the Python values of the online executor are not those of a batch column.

    Floats are compared by their 8 bytes, so -0.0 is not 0.0, and a whole number is not the float it equals.
    Times of the batch column are microseconds online.
    """
    values = batch.dt.timestamp("us") if isinstance(batch.dtype, pl.Datetime) else batch
    wide, kind = _kind_of(values.dtype)
    if not set(map(type, online)) <= {kind, type(None)}:
        pairs = enumerate(zip(values.to_list(), online, strict=True))
        return [place for place, (one, other) in pairs if not same(one, other)]
    got, expected = pl.Series(online, dtype=wide), values.cast(wide)
    if wide != pl.Float64:
        return np.flatnonzero(got.ne_missing(expected).to_numpy()).tolist()
    unlike = (got.is_null() != expected.is_null()).to_numpy() | (_bits(got) != _bits(expected))
    return np.flatnonzero(unlike).tolist()


def same(one: Any, other: Any) -> bool:
    """Whether two Python values are of one type and the same to the bit."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return struct.pack("d", one) == struct.pack("d", other)
    return bool(one == other)


def _kind_of(dtype: pl.DataType) -> tuple[pl.DataType, type]:
    if dtype.is_integer():
        return pl.Int64(), int
    if dtype.is_float():
        return pl.Float64(), float
    return (pl.Boolean(), bool) if dtype == pl.Boolean else (pl.String(), str)


def _bits(series: pl.Series) -> Any:
    return series.fill_null(0.0).to_numpy().view(np.int64)
