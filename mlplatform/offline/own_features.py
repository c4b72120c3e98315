"""The features a stored candidate was trained with, where the declaration has moved on since.

What is stored is the declared feature set. A candidate of another one is not to be judged on columns that
only have the same names: its own features are computed again from the cleaned tables. It must not import
Dagster.
"""

from datetime import datetime, timedelta

import polars as pl

from mlplatform.offline.declared import Declared
from mlplatform.stages.preparation.batch import compute
from mlplatform.stages.preparation.declarations import FeatureSet, columns_of
from mlplatform.stores.lake import Lake


def is_stored(declared: Declared, feature_set: FeatureSet) -> bool:
    """Whether the stored features are those of the set: declared today by the same definitions, or some."""
    today = declared.feature_set
    return feature_set.spine == today.spine and all(each in today.features for each in feature_set.features)


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
    times = asked.select(as_of=spine.as_of.polars())["as_of"]
    begin, end = times.min(), times.max()
    assert isinstance(begin, datetime)
    assert isinstance(end, datetime)
    computed = compute(feature_set, asked, tables(declared, lake, feature_set, begin, end))
    return rows.select(key).join(computed, on=key, how="left", maintain_order="left")


def tables(
    declared: Declared, lake: Lake, feature_set: FeatureSet, begin: datetime, end: datetime
) -> dict[str, pl.DataFrame]:
    """The cleaned rows that questions as of `begin` … `end` (both included) can see."""
    found = {}
    for name in dict.fromkeys([*(source.table for source in feature_set.sources), *feature_set.statics]):
        reach = {clock: timedelta(microseconds=us) for clock, us in feature_set.clocks(name).items()}
        known = {clock: (begin - before, end) for clock, before in reach.items()}
        columns = columns_of(feature_set.features, name)
        found[name] = lake.read(declared.table(name), columns=columns, moments=known or None)
    return found
