"""What a `features.py` imports: the declarations of features.

from mlplatform.features import Agg, FeatureSet, Last, Open, Row, Source, Spine, Static, col
"""

from mlplatform.stages.preparation.declarations import (
    Agg,
    Category,
    ExponentialMean,
    FeatureSet,
    Last,
    Open,
    Row,
    Source,
    Spine,
    Static,
    TargetRate,
)
from mlplatform.stages.preparation.expressions import col

__all__ = [
    "Agg",
    "Category",
    "ExponentialMean",
    "FeatureSet",
    "Last",
    "Open",
    "Row",
    "Source",
    "Spine",
    "Static",
    "TargetRate",
    "col",
]
