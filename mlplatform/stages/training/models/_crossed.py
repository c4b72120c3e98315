"""Categories crossed into one: which combinations were seen, and the place of each row's; it must not fit.

A combination with a missing or unknown code is none of them.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import prod

import msgspec
import numpy as np

from mlplatform.errors import ConfigurationError
from mlplatform.stages.training.contract import Floats, TrainingSet, position
from mlplatform.stages.training.models._numbers import Index

_MOST = 2**53
_NONE = -1


class Crossed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`columns` are crossed, `sizes` their numbers of codes; `keys` are the crossed codes seen, in order."""

    columns: tuple[int, ...]
    sizes: tuple[int, ...]
    keys: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.columns or len(self.columns) != len(self.sizes) or min(self.columns) < 0:
            raise ValueError("columns and sizes do not belong together")
        if any(a >= b for a, b in pairwise(self.keys)):
            raise ValueError("keys are not in order")

    def codes(self, X: Floats) -> Index:
        """The crossed code (rows,) of X (rows, features)."""
        code, known = np.zeros(len(X), dtype=np.intp), np.ones(len(X), dtype=bool)
        for column, size in zip(self.columns, self.sizes, strict=True):
            inside = (X[:, column] >= 0.0) & (X[:, column] < size)
            code = code * size + np.where(inside, X[:, column], 0.0).astype(np.intp)
            known &= inside
        return np.where(known, code, _NONE)

    def places(self, X: Floats) -> Index:
        """Place among `keys` of each row, len(keys) for one that is not among them."""
        keys, code = np.array(self.keys, dtype=np.intp), self.codes(X)
        place = np.minimum(np.searchsorted(keys, code), len(keys) - 1)
        return np.where(keys[place] == code, place, len(keys))

    def placer(self) -> Callable[[Sequence[float]], int]:
        """`places` for one row, in plain Python."""
        known, parts = (
            {key: place for place, key in enumerate(self.keys)},
            tuple(zip(self.columns, self.sizes, strict=True)),
        )

        def place(row: Sequence[float]) -> int:
            code = 0
            for column, size in parts:
                if not 0.0 <= row[column] < size:
                    return len(known)
                code = code * size + int(row[column])
            return known.get(code, len(known))

        return place


def seen(kind: str, parameter: str, features: Sequence[str], training: TrainingSet) -> Crossed:
    """The combinations of these features in `training`.

    Raises
    ------
    ConfigurationError
        for none, the same twice, a feature that is not there or is no category, or too many combinations.
    """
    columns = tuple(position(training.names, name, parameter) for name in features)
    numbers = [name for name in features if name not in training.categories]
    if numbers or not columns or len(set(columns)) != len(columns):
        raise ConfigurationError(
            f"{kind}: got {parameter}: {list(features)}; allowed: one or more different of "
            f"{', '.join(training.categories) or 'none'}.",
            hint="Declare the feature as a category." if numbers else "Name each feature once.",
        )
    sizes = tuple(training.categories[name] for name in features)
    if prod(sizes) > _MOST:
        raise ConfigurationError(f"{kind}: {parameter} crosses {prod(sizes)} codes; allowed: {_MOST}.")
    codes = np.unique(Crossed(columns, sizes).codes(training.X))
    return Crossed(columns, sizes, tuple(codes[codes >= 0].tolist()))
