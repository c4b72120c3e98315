"""Arithmetic shared by models that must give the same bits for one row and for many.

It must not use reductions or matrix products: their order of operations depends on the number of rows.
"""

import math
from collections.abc import Iterator

import numpy as np

from mlplatform.stages.training.contract import MISSING, UNKNOWN, Floats

Index = np.ndarray[tuple[int], np.dtype[np.intp]]

_BLOCK = 8192
"""Rows per block: one column of it stays in the processor's cache through a chain of operations."""


def sigmoid(logit: float) -> float:
    """1 / (1 + exp(-logit)), without overflow at either end."""
    if logit >= 0.0:
        return 1.0 / (1.0 + math.exp(-logit))
    power = math.exp(logit)
    return power / (1.0 + power)


def sigmoids(logits: Floats) -> Floats:
    """`sigmoid` of each: by the same scalar function, since a vectorised exp need not round like it."""
    return np.fromiter(map(sigmoid, logits.tolist()), dtype=np.float64, count=len(logits))


def blocks(X: Floats) -> Iterator[tuple[slice, Floats]]:
    """Blocks of X's rows as (place, features by rows), C-contiguous copies."""
    for start in range(0, len(X), _BLOCK):
        place = slice(start, min(start + _BLOCK, len(X)))
        yield place, np.ascontiguousarray(X[place].T)


def slot(code: float, known: int) -> int:
    """Index into a table of `known` entries and then those of MISSING and UNKNOWN, which are negative."""
    if 0.0 <= code < known:
        return int(code)
    return MISSING if code == MISSING or code != code else UNKNOWN


def slots(codes: Floats, known: int) -> Index:
    """`slot` of each."""
    inside = (codes >= 0.0) & (codes < known)
    absent = np.where((codes == MISSING) | np.isnan(codes), MISSING, UNKNOWN)
    return np.where(inside, np.where(inside, codes, 0.0).astype(np.intp), absent)


def spaced(rows: int, most: int) -> slice | Index:
    """All rows, or `most` evenly spaced ones: every season of the window keeps its weight."""
    return slice(None) if rows <= most else np.linspace(0, rows - 1, most).astype(np.intp)
