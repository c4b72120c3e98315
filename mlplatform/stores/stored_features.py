"""Of which feature set the stored features of a day are, and the days of which a model can be read off.

The asset `features` notes the declaration by which it computed a day beside the rows. It must not compute
features.
"""

from collections.abc import Sequence

import polars as pl

from mlplatform.errors import ConfigurationError
from mlplatform.stages.preparation.declarations import FeatureSet
from mlplatform.stores.lake import KEY, Lake, Table
from mlplatform.stores.own_features import covers

FEATURES, DECLARATIONS = "features", "feature_declarations"


def forget(lake: Lake, use_case: str, feature_set: FeatureSet, days: Sequence[str]) -> None:
    """Before the features of days are written: what was noted of them by another declaration holds no longer.

    Raises
    ------
    StoreError
        as `Lake.write`.
    """
    other = [day for day, text in _noted(lake, use_case, days) if text != _text(feature_set)]
    if other:
        empty = pl.DataFrame(schema={"declaration": pl.String, KEY: pl.String})
        lake.write(Table(use_case, DECLARATIONS), empty, other, allow_empty=True)


def keep(lake: Lake, use_case: str, feature_set: FeatureSet, days: Sequence[str]) -> None:
    """After the features of days were written: note by which declaration, unless it is noted.

    Raises
    ------
    StoreError
        as `Lake.write`.
    """
    text = _text(feature_set)
    new = sorted({*days} - {day for day, noted in _noted(lake, use_case, days) if noted == text})
    if new:
        rows = pl.DataFrame({"declaration": [text] * len(new), KEY: new})
        lake.write(Table(use_case, DECLARATIONS), rows, new)


def readable(lake: Lake, use_case: str, feature_set: FeatureSet, days: Sequence[str]) -> list[str]:
    """Those of the days, sorted, whose stored features are by the definitions of `feature_set`."""
    noted = _noted(lake, use_case, days)
    same = {text for text in {text for _, text in noted} if _covers(text, feature_set)}
    return sorted(day for day, text in noted if text in same)


def _covers(text: str, feature_set: FeatureSet) -> bool:
    try:
        return covers(FeatureSet.from_json(text.encode()), feature_set)
    except ConfigurationError:  # a version before or after this one wrote it: its features are computed anew
        return False


def _noted(lake: Lake, use_case: str, days: Sequence[str]) -> list[tuple[str, str]]:
    """Day and declaration of what was noted."""
    table = Table(use_case, DECLARATIONS)
    if not lake.exists(table):
        return []
    noted = lake.read(table, columns=[KEY, "declaration"], partitions=list(days))
    return [(day, text) for day, text in noted.iter_rows()]


def _text(feature_set: FeatureSet) -> str:
    return feature_set.to_json().decode()
