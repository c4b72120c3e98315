"""Column lineage for the Dagster UI: of the features, of the scores, and of cleaned tables where it is known.

It is attached to one event of a run, the newest partition's, which is the one that the UI reads: a year of
days with the lineage of 150 columns each would fill the event log. It must not compute anything.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl
from dagster import TableColumnDep, TableColumnLineage

from mlplatform.offline.assets._shared import key
from mlplatform.offline.declared import Declared
from mlplatform.stages.preparation.column_lineage import column_lineage
from mlplatform.stages.preparation.declarations import FeatureSet
from mlplatform.stores.own_features import covers
from mlplatform.stores.stored_features import FEATURES

LINEAGE = "dagster/column_lineage"


def of_features(declared: Declared) -> dict[str, Any]:
    """Metadata of `features`: each column's columns of cleaned tables."""
    found = column_lineage(declared.feature_set, declared.config.target)
    return _metadata(declared, found)


def of_scores(declared: Declared, feature_set: FeatureSet, columns: Iterable[str]) -> dict[str, Any]:
    """Metadata of `scores` with these columns, given by a model of this feature set.

    What the model says rests on every feature it sees: on those of the table `features`, or, where these are
    by another declaration, on what they are computed from.
    """
    spine = feature_set.spine
    own = {name: {(FEATURES, name)} for name in (*spine.key, "as_of")}
    if covers(declared.feature_set, feature_set):
        read = {(FEATURES, name) for name in feature_set.names}
    else:
        read = set().union(*column_lineage(feature_set, declared.config.target).values())
    said = dict.fromkeys(("score", "class", "cluster", "rank"), read)
    told = {**said, "step": own["as_of"], **own}
    return _metadata(declared, {name: told[name] for name in columns if name in told})


def of_cleaned(declared: Declared, data_set: str, raw: pl.DataFrame, cleaned: pl.DataFrame) -> dict[str, Any]:
    """Metadata of a cleaned table: the columns that came through unchanged, value by value.

    What a cleaning function calculates is code, of which no declaration tells.
    """
    same = [
        name
        for name in cleaned.columns
        if name in raw.columns and cleaned[name].dtype == raw[name].dtype and cleaned[name].equals(raw[name])
    ]
    return _metadata(declared, {name: [(f"raw_{data_set}", name)] for name in same})


def _metadata(declared: Declared, found: Mapping[str, Iterable[tuple[str, str]]]) -> dict[str, Any]:
    if not found:
        return {}
    deps = {
        name: [TableColumnDep(key(declared, table), column) for table, column in sorted(columns)]
        for name, columns in found.items()
    }
    return {LINEAGE: TableColumnLineage(deps)}
