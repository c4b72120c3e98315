"""Mutual information: how much the bin of a feature tells of the label, in nats."""

from collections.abc import Mapping, Sequence

import numpy as np

from mlplatform.stages.preparation.selectors._bins import Floats, expected, tables


def rank(X: Floats, y: Floats, features: Sequence[str], categories: Mapping[str, int], /) -> Floats:
    """The plain (plug-in) estimate: the sum over bin and label of p(b, y) ln(p(b, y) / (p(b) p(y))).

    Shannon 1948, in nats, from 0 to the entropy of the label. Chance alone gives about
    (bins - 1) / (2 · rows) (Miller 1955), which is not taken off.
    """
    return np.array([_information(table) for table in tables(X, y, features, categories)])


def _information(table: Floats) -> float:
    seen = table > 0  # 0 · ln 0 is 0
    ratio = np.log(table[seen] / expected(table)[seen])
    return max(0.0, float((table[seen] * ratio).sum() / table.sum()))
