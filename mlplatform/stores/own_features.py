"""The features of a given set for given questions, computed again from the cleaned tables of the lake.

What is stored is the declared feature set of some time. Rows of another one are not to be read off columns
that only have the same names. It must not know a declaration nor a model.
"""

from datetime import datetime, timedelta

import polars as pl

from mlplatform.stages.preparation.batch import compute
from mlplatform.stages.preparation.declarations import FeatureSet, columns_of
from mlplatform.stores.lake import Lake, Table


def covers(stored: FeatureSet, wanted: FeatureSet) -> bool:
    """Whether the columns of a stored set are those of the wanted one: the same definitions, or more."""
    return wanted.spine == stored.spine and all(each in stored.features for each in wanted.features)


def computed(lake: Lake, use_case: str, feature_set: FeatureSet, asked: pl.DataFrame) -> pl.DataFrame:
    """The features of `asked`, rows of the spine's table with its key and facts; at least one.

    Raises
    ------
    NotFound
        if the cleaned tables have no longer what the set reads.
    FeatureError
        if its features cannot be computed.
    """
    times = asked.select(as_of=feature_set.spine.as_of.polars())["as_of"]
    begin, end = times.min(), times.max()
    assert isinstance(begin, datetime)
    assert isinstance(end, datetime)
    return compute(feature_set, asked, tables(lake, use_case, feature_set, begin, end))


def tables(
    lake: Lake, use_case: str, feature_set: FeatureSet, begin: datetime, end: datetime
) -> dict[str, pl.DataFrame]:
    """The cleaned rows that questions as of `begin` … `end` (both included) can see."""
    found = {}
    for name in dict.fromkeys([*(source.table for source in feature_set.sources), *feature_set.statics]):
        reach = {clock: timedelta(microseconds=us) for clock, us in feature_set.clocks(name).items()}
        known = {clock: (begin - before, end) for clock, before in reach.items()}
        columns = columns_of(feature_set.features, name)
        found[name] = lake.read(Table(use_case, name), columns=columns, moments=known or None)
    return found
