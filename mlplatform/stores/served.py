"""The table `served` of a use case: what was asked online, what the model saw, and what was answered.

It must not open a lake: columns and rows in, frames out.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from mlplatform.stages.preparation.declarations import FactType
from mlplatform.stages.scoring.score import Answer
from mlplatform.stores.lake_sql import KEY

SERVED = "served"
INSTANT = pl.Datetime("us", "UTC")
OWN: dict[str, pl.DataType] = {
    "prediction_id": pl.String(),
    "as_of": INSTANT,
    "model": pl.String(),
    "version": pl.Int64(),
    "digest": pl.String(),
    "feature_set": pl.String(),
    "score": pl.Float64(),
    "link": pl.String(),
    "late": pl.Boolean(),
    "features_age_s": pl.Float64(),
    "answered_at": INSTANT,
    "serving_ms": pl.Float64(),
    "because": pl.String(),
    "vector": pl.List(pl.Float64()),
    KEY: pl.String(),
}
"""Columns beside the facts: `answered_at` is the clock's UTC time, `serving_ms` the time of the request until
it was answered, `because` why an earlier link did not answer it; `vector` is the encoded row in the order of
the fitted feature set, empty where no model was asked."""
_BESIDE = ("late", "answered_at", "serving_ms", "because", "vector", KEY)
_TOLD = tuple(name for name in OWN if name not in _BESIDE)
"""Those that are fields of an answer."""
_KINDS: dict[FactType, pl.DataType] = {
    "string": pl.String(),
    "int": pl.Int64(),
    "float": pl.Float64(),
    "time": INSTANT,
    "bool": pl.Boolean(),
}

Facts = Mapping[str, Any]
Served = tuple[Mapping[str, FactType], Facts, bytes, Answer, float, float, str]
"""The types of the facts, the facts (times as µs), the encoded row as `packed`, the answer, when it was given
(seconds since 1970), the seconds it took, and why an earlier link did not answer."""


def column_of(fact: str) -> str:
    """The column of a fact; one that is called like a column of ours gets a longer name."""
    return f"fact_{fact}" if fact in OWN else fact


def frame(answers: Sequence[Served], partition: str) -> pl.DataFrame:
    """Rows of answers that have the same types of facts."""
    types = answers[0][0]
    columns = [
        pl.Series(column_of(name), [each[1][name] for each in answers], _physical(kind)).cast(_KINDS[kind])
        for name, kind in types.items()
    ]
    said = [each[3] for each in answers]
    own: dict[str, list[Any]] = {name: [getattr(answer, name) for answer in said] for name in _TOLD}
    own["late"] = [answer.late is True for answer in said]
    own["serving_ms"] = [each[5] * 1000.0 for each in answers]
    own["because"] = [each[6] for each in answers]
    own[KEY] = [partition] * len(answers)
    own_columns = [pl.Series(name, own[name], OWN[name]) for name in own]
    at = pl.Series("answered_at", [int(each[4] * 1e6) for each in answers], pl.Int64).cast(INSTANT)
    vectors = _vectors([each[2] for each in answers])
    return pl.DataFrame(columns).with_columns(*own_columns, at, vectors).select(*_order(types))


def _order(types: Mapping[str, FactType]) -> list[str]:
    return [*(column_of(name) for name in types), *OWN]


def packed(row: Sequence[float]) -> bytes:
    """An encoded row as float64 in native order: small, and nothing for the garbage collector to visit."""
    return struct.pack(f"{len(row)}d", *row)


def _vectors(rows: Sequence[bytes]) -> pl.Series:
    """The column of vectors, from one flat run of numbers: polars takes a list of lists one by one."""
    ends = np.cumsum([0, *(len(row) // 8 for row in rows)], dtype=np.int64)
    values = np.frombuffer(b"".join(rows), dtype=np.float64)
    column = pa.LargeListArray.from_arrays(pa.array(ends), pa.array(values))
    return pl.Series("vector", pl.from_arrow(column), OWN["vector"])


def _physical(kind: FactType) -> pl.DataType:
    return pl.Int64() if kind == "time" else _KINDS[kind]
