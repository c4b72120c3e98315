"""LightGBM gain: how much a feature's splits lower the loss of a small boosted model of all features.

It sees features together: of two that say the same, one gets the gain. It must not keep the model.
"""

from collections.abc import Mapping, Sequence

import lightgbm
import numpy as np

from mlplatform.errors import ConfigurationError
from mlplatform.stages.preparation.selectors._bins import Floats


def rank(
    X: Floats,
    y: Floats,
    features: Sequence[str],
    categories: Mapping[str, int],
    /,
    *,
    num_iterations: int = 100,
    num_leaves: int = 31,
    learning_rate: float = 0.1,
    min_data_in_leaf: int = 20,
    seed: int = 0,
    num_threads: int = 2,
) -> Floats:
    """Total gain per feature, 0 where no tree splits by it; options are LightGBM's of the same names.

    Raises
    ------
    ConfigurationError
        for an option out of range.
    """
    counts = {"num_iterations": (num_iterations, 1), "num_leaves": (num_leaves, 2), "seed": (seed, 0)}
    counts |= {"min_data_in_leaf": (min_data_in_leaf, 1), "num_threads": (num_threads, 1)}
    for name, (value, least) in counts.items():
        _check_count(name, value, least)
    if isinstance(learning_rate, bool) or not isinstance(learning_rate, int | float) or learning_rate <= 0:
        raise ConfigurationError(f"lightgbm_gain: got learning_rate {learning_rate!r}; allowed: above 0.")
    given: dict[str, object] = {
        name: value for name, (value, _) in counts.items() if name != "num_iterations"
    }
    given |= {"objective": "binary", "learning_rate": learning_rate, "verbosity": -1}
    given |= {"deterministic": True, "force_row_wise": True}
    places = [place for place, name in enumerate(features) if name in categories]
    data = lightgbm.Dataset(_readable(X, places), y, categorical_feature=places, params=given)
    booster = lightgbm.train(given, data, num_boost_round=num_iterations)
    return np.asarray(booster.feature_importance(importance_type="gain"), dtype=np.float64)


def _readable(X: Floats, places: Sequence[int]) -> Floats:
    """A copy with NaN for unknown and missing categories, as LightGBM reads them, without its warnings."""
    copy = X.copy()
    for place in places:
        codes = copy[:, place]
        codes[codes < 0] = np.nan
    return copy


def _check_count(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigurationError(
            f"lightgbm_gain: got {name} {value!r}; allowed: a whole number from {least} on.",
            hint=f"Correct {name} in the options of the selection.",
        )
