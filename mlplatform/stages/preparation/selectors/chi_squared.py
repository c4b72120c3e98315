"""Chi-squared: how far the counts per bin and label lie from those of a feature without bearing."""

from collections.abc import Mapping, Sequence

import numpy as np

from mlplatform.stages.preparation.selectors._bins import Floats, expected, tables


def rank(X: Floats, y: Floats, features: Sequence[str], categories: Mapping[str, int], /) -> Floats:
    """Pearson's statistic of bins × label, the sum of (observed - expected)² / expected (Pearson 1900).

    It is the sum of scikit-learn's `chi2` over the bins as indicator columns. Features with more bins get
    more by chance alone: about one per bin.
    """
    found = tables(X, y, features, categories)
    return np.array([float(((t - expected(t)) ** 2 / expected(t)).sum()) for t in found])
