"""Rows for training and evaluation: features joined with the part and label of a split."""

import numpy as np
import numpy.typing as npt
import polars as pl

from mlplatform.errors import NotFound
from mlplatform.offline.declared import Declared
from mlplatform.stores.lake import Lake

MONTH = "month"
"""A column to slice by that every row has: the month of its day."""


def of_part(declared: Declared, lake: Lake, as_of: str, part: str) -> pl.DataFrame:
    """Features, `label` and `day` of the questions in one part of a split, in order of day and key.

    Raises
    ------
    NotFound
        if the part has no rows with features.
    """
    feature_set = declared.feature_set
    split = lake.read(declared.table("split"), partitions=[as_of]).filter(pl.col("part") == part)
    key = list(feature_set.spine.key)
    if split.height:
        days = split["day"].sort()
        columns = list(dict.fromkeys([*key, *feature_set.names]))
        features = lake.read(declared.table("features"), columns=columns, first=days[0], last=days[-1])
        rows = (
            split.select(*key, "label", "day", "split_id")
            .join(features, on=key, how="inner")
            .sort("day", *key)
        )
        if rows.height:
            return rows
    raise NotFound(
        f"the split of {declared.name!r} as of {as_of} has no {part} rows with features.",
        hint=f"Materialise features and split, or choose a date with data on both sides of it: "
        f"mlplatform run {declared.name}.",
    )


def labels(rows: pl.DataFrame) -> npt.NDArray[np.float64]:
    """The labels as 0.0 and 1.0."""
    return rows["label"].cast(pl.Float64).to_numpy()


def sliceable(declared: Declared) -> list[str]:
    """The columns that rows can be sliced by."""
    feature_set = declared.feature_set
    return list(dict.fromkeys([*feature_set.spine.key, *feature_set.names, MONTH]))


def column(rows: pl.DataFrame, name: str) -> pl.Series:
    """A column to slice rows by; `month` is that of the row's day unless a feature has this name."""
    if name == MONTH and name not in rows.columns:
        return rows["day"].str.head(7).alias(MONTH)
    return rows[name]
