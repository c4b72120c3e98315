"""The nearest of several centres, for one row in plain Python and for many in numpy; must not fit centres.

A number adds the square of its distance to each centre; a category adds the entry of a table made at load,
since its one-hot columns can only take as many values as it has codes.
"""

from collections.abc import Callable, Sequence

import numpy as np

from mlplatform.stages.training.contract import Floats, as_batch, wrong_width
from mlplatform.stages.training.models._design import CategoryColumn, Column, NumberColumn
from mlplatform.stages.training.models._numbers import blocks, slot, slots


class Centres:
    """Centres in the space of the design columns, ready to be compared with."""

    def __init__(self, columns: Sequence[Column], centres: Sequence[Sequence[float]]) -> None:
        self._columns, self._count = tuple(columns), len(centres)
        self._parts: list[list[list[float]]] = []
        start = 0
        for column in columns:
            parts = [list(centre[start : start + column.width]) for centre in centres]
            self._parts.append(_table(column, parts) if isinstance(column, CategoryColumn) else parts)
            start += column.width

    def nearest(self, X: Floats, names: Sequence[str]) -> Floats:
        """Numbers (rows,) of the nearest centres of X (rows, features); of equally near ones the lowest."""
        X = as_batch(X, names)
        numbers = np.empty(len(X))
        for place, features in blocks(X):
            distances = np.zeros((self._count, features.shape[1]))
            with np.errstate(over="ignore"):
                for column, parts, x in zip(self._columns, self._parts, features, strict=True):
                    distances += _squares(column, np.array(parts), x)
            numbers[place] = distances.argmin(axis=0)
        return numbers

    def finder(self, names: Sequence[str]) -> Callable[[Sequence[float]], float]:
        """`nearest` for one row: the same operations in the same order."""
        plan, count = list(zip(self._columns, self._parts, strict=True)), self._count

        def find(row: Sequence[float]) -> float:
            if len(row) != len(names):
                raise wrong_width(len(row), names)
            distances = [0.0] * count
            for x, (column, parts) in zip(row, plan, strict=True):
                if isinstance(column, NumberColumn):
                    (z,) = column.values(x)
                    squares = [(z - c) * (z - c) for (c,) in parts]
                else:
                    squares = parts[slot(x, len(parts) - 2)]
                distances = [d + square for d, square in zip(distances, squares, strict=True)]
            return float(distances.index(min(distances)))

        return find


def _squares(column: Column, parts: Floats, x: Floats) -> Floats:
    """Squared distances (centres, rows) in the columns of one feature."""
    if isinstance(column, CategoryColumn):
        return np.ascontiguousarray(parts[slots(x, len(parts) - 2)].T)
    out = np.empty((len(x), column.width))
    column.fill(x, out)
    apart = out[:, 0][None, :] - parts
    return apart * apart


def _table(column: CategoryColumn, parts: Sequence[Sequence[float]]) -> list[list[float]]:
    """Squared distance of each slot of the category to each centre."""
    by_place = [[_squared_distance(place, part) for part in parts] for place in range(column.width)]
    return [by_place[place] for place in column.place]


def _squared_distance(place: int, part: Sequence[float]) -> float:
    total = 0.0
    for i, c in enumerate(part):
        apart = (1.0 if i == place else 0.0) - c
        total += apart * apart
    return total
