"""The features of what was asked online, computed again by the batch executor from the rows the lake has now.

It must not compare, judge, or know Dagster.
"""

from datetime import datetime

import polars as pl

from mlplatform.offline.declared import Declared
from mlplatform.offline.own_features import tables
from mlplatform.stages.preparation.batch import compute
from mlplatform.stages.preparation.declarations import FeatureSet
from mlplatform.stores.lake import Lake
from mlplatform.stores.served import column_of


def features_of_served(
    declared: Declared, lake: Lake, feature_set: FeatureSet, rows: pl.DataFrame
) -> pl.DataFrame:
    """The features of `rows` of the table `served`, in their order; at least one row.

    Raises
    ------
    NotFound
        if the cleaned tables have no longer what the set reads.
    FeatureError
        if its features cannot be computed.
    """
    spine = feature_set.spine
    # A key of features must have one type in all tables: that of the cleaned one.
    stored = lake.read(declared.table(spine.table), columns=list(spine.facts), partitions=[]).schema
    facts = rows.select(pl.col(column_of(name)).cast(stored[name]).alias(name) for name in spine.facts)
    # A key that is no fact names a row for people; no feature reads it.
    unknown = [name for name in spine.key if name not in spine.facts]
    asked = facts.with_columns(pl.int_range(pl.len()).alias(name) for name in unknown)
    begin, end = rows["as_of"].min(), rows["as_of"].max()
    assert isinstance(begin, datetime)
    assert isinstance(end, datetime)
    return compute(feature_set, asked, tables(declared, lake, feature_set, begin, end))
