"""Keep: the features that the caller names, whatever the data says."""

import difflib
from collections.abc import Mapping, Sequence

import numpy as np

from mlplatform.errors import ConfigurationError
from mlplatform.stages.preparation.selectors._bins import Floats


def rank(
    X: Floats, y: Floats, features: Sequence[str], categories: Mapping[str, int], /, *, names: Sequence[str]
) -> Floats:
    """1 for the features in `names`, 0 for the others.

    Raises
    ------
    ConfigurationError
        if one of them is not a feature.
    """
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise ConfigurationError(f"keep: got names {names!r}; allowed: a list of names of features.")
    unknown = [name for name in names if name not in features]
    if unknown:
        close = difflib.get_close_matches(unknown[0], features, n=1)
        raise ConfigurationError(
            f"keep: got names {unknown}; allowed: {', '.join(features)}.",
            hint=f"Did you mean {close[0]!r}?" if close else "Name features of this use case.",
        )
    return np.array([float(name in names) for name in features])
