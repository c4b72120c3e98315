"""A sum of one term per feature, which is what a fitted linear model comes down to; it must not fit.

A number x contributes (x - centre) * weight, or `absent` when it is missing; a category contributes the entry
of its table. It must not multiply matrices: BLAS rounds one row and many rows differently.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from mlplatform.stages.training.contract import Floats, as_batch, wrong_width
from mlplatform.stages.training.models._design import Category, Number
from mlplatform.stages.training.models._numbers import blocks, slot, slots


class Weights(Protocol):
    """What the content of a linear model.json has; `terms[i]` belongs to `names[i]`."""

    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def intercept(self) -> float: ...
    @property
    def terms(self) -> tuple[Number | Category, ...]: ...


def sums(weights: Weights, X: Floats) -> Floats:
    """Intercept and terms (rows,) of X (rows, features), added in the order of the features."""
    X = as_batch(X, weights.names)
    totals = np.full(len(X), weights.intercept)
    for place, columns in blocks(X):
        for term, x in zip(weights.terms, columns, strict=True):
            totals[place] += _contributions(term, x)
    return totals


def summer(weights: Weights) -> Callable[[Sequence[float]], float]:
    """`sums` for one row: the same operations in the same order, in plain Python."""
    intercept, names = weights.intercept, weights.names
    plan = [_plan(term) for term in weights.terms]

    def total_of(row: Sequence[float]) -> float:
        if len(row) != len(names):
            raise wrong_width(len(row), names)
        total = intercept
        for x, (centre, weight, absent, table) in zip(row, plan, strict=True):
            if table is not None:
                total += table[slot(x, len(table) - 2)]
            else:
                total += (x - centre) * weight if x == x else absent
        return total

    return total_of


def _plan(term: Number | Category) -> tuple[float, float, float, tuple[float, ...] | None]:
    if isinstance(term, Category):
        return 0.0, 0.0, 0.0, term.table
    return term.centre, term.weight, term.absent, None


def _contributions(term: Number | Category, x: Floats) -> Floats:
    if isinstance(term, Category):
        table = np.array(term.table)
        return table[slots(x, len(table) - 2)]
    return np.where(np.isnan(x), term.absent, (x - term.centre) * term.weight)
