"""The features a stored candidate was trained with, where the declaration has moved on since.

What is stored is the declared feature set. A candidate of another one is not to be judged on columns that
only have the same names: its own features are computed again from the cleaned tables. It must not import
Dagster.
"""

from datetime import datetime

import polars as pl

from mlplatform.offline.declared import Declared
from mlplatform.stages.preparation.declarations import FeatureSet
from mlplatform.stores import own_features
from mlplatform.stores.lake import Lake


def is_stored(declared: Declared, feature_set: FeatureSet) -> bool:
    """Whether the stored features are those of the set: declared today by the same definitions, or some."""
    return own_features.covers(declared.feature_set, feature_set)


def of_rows(declared: Declared, lake: Lake, feature_set: FeatureSet, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with the features of `feature_set`: as they are if those are stored, else computed.

    Parameters
    ----------
    rows
        the declared feature set's, with the spine's key and the column `day`; all from one day to another.

    Returns
    -------
    in the order of `rows`; where computed, the key and the features only.

    Raises
    ------
    NotFound
        if the cleaned tables have no longer what the set reads.
    FeatureError
        if its features cannot be computed.
    """
    if is_stored(declared, feature_set) or not rows.height:
        return rows
    key, spine = list(feature_set.spine.key), feature_set.spine
    facts = lake.read(
        declared.table(spine.table),
        columns=list(dict.fromkeys([*key, *spine.facts])),
        first=str(rows["day"].min()),
        last=str(rows["day"].max()),
    )
    asked = facts.join(rows.select(key), on=key, how="semi")
    computed = own_features.computed(lake, declared.name, feature_set, asked)
    return rows.select(key).join(computed, on=key, how="left", maintain_order="left")


def tables(
    declared: Declared, lake: Lake, feature_set: FeatureSet, begin: datetime, end: datetime
) -> dict[str, pl.DataFrame]:
    """The cleaned rows that questions as of `begin` … `end` (both included) can see."""
    return own_features.tables(lake, declared.name, feature_set, begin, end)
