"""A LightGBM on simple features only: what one has without open items, exponential means and aircraft's legs.

Features of a question's own facts, plain windows, and the last weather report: as near as the declaration
allows to the 86 features of an ordinary as-of baseline. It must not be made worse than it is.
"""

from mlplatform.stages.preparation.declarations import (
    Agg,
    Category,
    Feature,
    FeatureSet,
    Last,
    Row,
    Static,
    key_columns,
)

PARAMS = {"num_iterations": 150, "num_leaves": 31, "learning_rate": 0.08}
"""Those of the earlier measurement on such a set."""
USUAL = "28d"
"""A difference from the mean of this window measures a flight against its usual: no plain feature."""
AIRCRAFT = ("tailnum",)


def simple(feature_set: FeatureSet) -> FeatureSet:
    """The simple features of a set."""
    by_name = {feature.name: feature for feature in feature_set.features}
    return feature_set.only(name for name in feature_set.names if _is_simple(by_name[name], by_name))


def _is_simple(feature: Feature, by_name: dict[str, Feature]) -> bool:
    if isinstance(feature, Row):
        steps = [by_name[name] for name in feature.expression.columns() if name in by_name]
        others = [step for step in steps if step is not feature]
        return all(_is_simple(step, by_name) and not _is_usual(step) for step in others)
    if isinstance(feature, Last):
        return key_columns(feature.by) != AIRCRAFT
    return isinstance(feature, Category | Static) or (isinstance(feature, Agg) and feature.last is None)


def _is_usual(feature: Feature) -> bool:
    return isinstance(feature, Agg) and feature.window == USUAL
