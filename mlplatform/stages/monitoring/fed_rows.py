"""Rows of a source in the order of a search, as runs of one batch; what `lineage.py` looks windows up in.

It must not know a feature.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from mlplatform.stages.preparation.declarations import FeatureSet, Source, told_columns
from mlplatform.stages.preparation.durations import microseconds
from mlplatform.stages.preparation.search import Bools, Ints

BATCH = "batch_id"
NONE = ""
"""Batch of a row that has none."""


@dataclass(frozen=True)
class Slot:
    """Rows of one source and key that have a value, in the order of their search, as runs of one batch."""

    count: Ints
    """How many of the first 0, 1, … rows of the search these are."""
    codes: Ints
    """Batch of each run, numbered."""
    starts: Ints

    @classmethod
    def of(cls, count: Ints, codes: Ints) -> "Slot":
        """Rows with these batches, in order."""
        changes = np.flatnonzero(np.diff(codes)) + 1
        starts = np.concatenate([[0], changes]).astype(np.int64) if len(codes) else np.zeros(0, np.int64)
        return cls(count, codes[starts], starts)


@dataclass(frozen=True)
class Span:
    """Per question the rows low … high − 1 of a slot."""

    slot: Slot
    low: Ints
    high: Ints

    @property
    def filled(self) -> Bools:
        """Whether there is any."""
        filled: Bools = self.high > self.low
        return filled

    def runs(self) -> tuple[Ints, Ints]:
        """The first run of these rows, and the one after their last."""
        first = np.searchsorted(self.slot.starts, self.low, side="right") - 1
        last = np.searchsorted(self.slot.starts, self.high - 1, side="right")
        return np.where(self.filled, first, 0), np.where(self.filled, last, 0)


def known(source: Source) -> pl.Expr:
    """From when on a row counts, in microseconds."""
    return pl.col(source.at).dt.timestamp("us") + microseconds(source.lag)


def coded(rows: pl.DataFrame, asked: pl.DataFrame, by: tuple[str, ...]) -> tuple[Ints, Ints]:
    """A whole number per key, the same for rows and questions; -1 for a question whose key no row has."""
    if not by or not rows.height:
        return np.zeros(rows.height, np.int64), np.full(asked.height, 0 if rows.height else -1)
    keys = rows.select(by).unique().drop_nulls().sort(by).with_columns(_code=pl.int_range(pl.len()))
    questions = asked.select(pl.col(name).cast(rows[name].dtype) for name in by)
    codes, asking = (
        frame.select(by).join(keys, on=list(by), how="left", maintain_order="left")["_code"]
        for frame in (rows, questions)
    )
    return codes.cast(pl.Int64).fill_null(-1).to_numpy(), asking.cast(pl.Int64).fill_null(-1).to_numpy()


def nothing(feature_set: FeatureSet, source: Source) -> pl.DataFrame:
    """No rows of a source, with its columns."""
    names = told_columns(feature_set.features, source)
    kinds = {name: pl.Datetime("us", "UTC") if name == source.at else pl.String for name in names}
    return pl.DataFrame(schema={**kinds, BATCH: pl.String})
