"""A feature set with its fitted dictionaries: what turns features into the numbers a model sees.

Categories become whole numbers by dictionaries fitted on the training rows: unknown -1, missing -2.
Everything else becomes a float64 as it is, missing NaN. It must not compute features.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from mlplatform.errors import ConfigurationError, FeatureSetMismatch
from mlplatform.stages.preparation.declarations import FeatureSet

UNKNOWN, MISSING = -1, -2


class FittedFeatureSet(msgspec.Struct, frozen=True):
    """A declaration and, per category, its levels in order of their codes 0, 1, …"""

    feature_set: FeatureSet
    levels: dict[str, tuple[str, ...]]

    @property
    def id(self) -> str:
        """`name@` and 12 hexadecimal digits over names, order, definitions and dictionaries."""
        return f"{self.feature_set.name}@{hashlib.sha256(self.to_json()).hexdigest()[:12]}"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features, in the order of the matrix."""
        return self.feature_set.names

    @property
    def categories(self) -> dict[str, int]:
        """Per category feature the number of its levels."""
        return {name: len(levels) for name, levels in self.levels.items()}

    def matrix(self, features: pl.DataFrame) -> npt.NDArray[np.float64]:
        """Rows × features, float64, C-contiguous, columns chosen by name.

        Raises
        ------
        FeatureSetMismatch
            if the frame lacks a feature.
        """
        missing = [name for name in self.names if name not in features.columns]
        if missing:
            raise FeatureSetMismatch(
                f"the frame lacks {len(missing)} of the {len(self.names)} features of {self.id}: "
                f"{', '.join(missing[:5])}.",
                hint="It was computed by another declaration; materialise the features again.",
            )
        columns = [self._encoded(features[name]) for name in self.names]
        return np.ascontiguousarray(pl.DataFrame(columns).to_numpy()) if columns else np.zeros((0, 0))

    def _encoded(self, series: pl.Series) -> pl.Series:
        if series.name not in self.levels:
            return series.cast(pl.Float64).fill_null(math.nan)
        codes = {level: float(code) for code, level in enumerate(self.levels[series.name])}
        known = series.replace_strict(
            list(codes), list(codes.values()), default=float(UNKNOWN), return_dtype=pl.Float64
        )
        missing = pl.Series([float(MISSING)], dtype=pl.Float64)
        return known.zip_with(series.is_not_null(), missing).alias(series.name)

    def encoder(self) -> Callable[[Sequence[Any]], list[float]]:
        """A function from one vector (in the order of `names`) to the floats of a matrix row."""
        codes = [
            {level: float(code) for code, level in enumerate(self.levels[name])}
            if name in self.levels
            else None
            for name in self.names
        ]
        nan, unknown, missing = math.nan, float(UNKNOWN), float(MISSING)

        def encode(vector: Sequence[Any]) -> list[float]:
            return [
                (nan if value is None else float(value))
                if dictionary is None
                else (missing if value is None else dictionary.get(value, unknown))
                for value, dictionary in zip(vector, codes, strict=True)
            ]

        return encode

    def to_json(self) -> bytes:
        """Canonical JSON; equal fitted sets give equal bytes."""
        return msgspec.json.encode(self, order="deterministic")

    @classmethod
    def from_json(cls, data: bytes) -> "FittedFeatureSet":
        """What `to_json` wrote.

        Raises
        ------
        ConfigurationError
            if the JSON is not a fitted feature set of this version.
        """
        try:
            return msgspec.json.decode(data, type=cls)
        except msgspec.MsgspecError as error:
            raise ConfigurationError(
                f"this JSON is not a fitted feature set: {error}.",
                hint="It was damaged or written by another version.",
            ) from error


def fit(feature_set: FeatureSet, training: pl.DataFrame) -> FittedFeatureSet:
    """Fit the dictionaries on the training rows: the levels seen, in alphabetical order."""
    levels = {
        name: tuple(training[name].drop_nulls().unique().sort().to_list()) for name in feature_set.categories
    }
    return FittedFeatureSet(feature_set, levels)
