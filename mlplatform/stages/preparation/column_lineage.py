"""Which columns of which cleaned tables each feature is made of, as the declarations say.

It must not look at data, nor at code: what a cleaning function does to a column is no declaration.
"""

from collections.abc import Mapping

from mlplatform.stages.preparation.declarations import (
    Category,
    Feature,
    FeatureSet,
    Row,
    Static,
    TargetRate,
    columns_of,
    key_columns,
    sources_of,
)

Columns = frozenset[tuple[str, str]]
"""Table and column."""


def column_lineage(feature_set: FeatureSet, target: str | None = None) -> dict[str, Columns]:
    """Per column of the features' table the columns of cleaned tables that decide it.

    Steps for other features are resolved; `target` is the label's column, which target rates are fitted on.
    A windowed feature rests on its source's clock, key and value, and on the facts that say when and of whom
    it is asked.
    """
    spine = feature_set.spine
    found: dict[str, Columns] = {name: _of_spine(feature_set, name) for name in (*spine.key, *spine.facts)}
    found["as_of"] = _of_spine(feature_set, *spine.as_of.columns())
    for feature in feature_set.features:
        found[feature.name] = _columns(feature, feature_set, found, target)
    shown = {*spine.key, *spine.facts, "as_of", *feature_set.names}
    return {name: columns for name, columns in found.items() if name in shown}


def _columns(
    feature: Feature, feature_set: FeatureSet, found: Mapping[str, Columns], target: str | None
) -> Columns:
    spine = feature_set.spine
    match feature:
        case Row():
            return frozenset[tuple[str, str]]().union(
                *(found[name] for name in feature.expression.columns() if name in found)
            )
        case Category():
            return found[feature.column]
        case TargetRate():
            label = [target] if target else []
            return _of_spine(feature_set, *key_columns(feature.columns), *label)
        case Static():
            told = {(feature.table, name) for name in columns_of([feature], feature.table)}
            return frozenset(told) | _of_spine(feature_set, feature.by)
        case _:
            tables = {source.table for source in sources_of(feature)}
            read = {(table, name) for table in tables for name in columns_of([feature], table)}
            asked = [*key_columns(feature.by), *spine.as_of.columns()]
            return frozenset(read) | _of_spine(feature_set, *asked)


def _of_spine(feature_set: FeatureSet, *names: str) -> Columns:
    return frozenset((feature_set.spine.table, name) for name in names)
