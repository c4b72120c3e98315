"""A feature set with its fitted dictionaries: what turns features into the numbers a model sees.

Categories become whole numbers by dictionaries fitted on the training rows: unknown -1, missing -2. Target
rates become the rates fitted on the training rows: unknown and missing the overall rate. Everything else
becomes a float64 as it is, missing NaN. It must not compute features.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from mlplatform.errors import ConfigurationError, FeatureSetMismatch
from mlplatform.stages.preparation.compiled import Code
from mlplatform.stages.preparation.declarations import FeatureSet, TargetRate

UNKNOWN, MISSING = -1, -2
FOLDS = 5
"""Folds of `training_matrix`: row n is in fold n modulo 5."""

Floats = npt.NDArray[np.float64]


class Rates(msgspec.Struct, frozen=True):
    """What a target rate became: the rate per key, and the overall rate for every other key."""

    overall: float
    by_key: dict[str, float]


class FittedFeatureSet(msgspec.Struct, frozen=True, omit_defaults=True):
    """A declaration; per category its levels in order of their codes 0, 1, …; per target rate its rates."""

    feature_set: FeatureSet
    levels: dict[str, tuple[str, ...]]
    rates: dict[str, Rates] = {}

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

    def matrix(self, features: pl.DataFrame) -> Floats:
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

    def training_matrix(self, features: pl.DataFrame, label: pl.Series) -> Floats:
        """`matrix` for the rows this set was fitted on, whose target rates must not see the row's own label.

        Each row's rate is fitted on the other four of five folds, as in scikit-learn's TargetEncoder; else a
        model learns to read the label off a rare key's rate.

        Raises
        ------
        ConfigurationError
            if there are target rates and too few rows, or labels other than 0 and 1.
        """
        X = self.matrix(features)
        if not self.rates:
            return X
        X = X.copy()  # of one column it is polars' own memory, which is not to be written to
        y, folds = as_label(label), np.arange(features.height) % FOLDS
        for feature in _target_rates(self.feature_set):
            for fold in range(min(FOLDS, features.height)):
                inside = folds == fold
                keys = features[feature.name]
                rates = _rates(feature, keys.filter(pl.Series(~inside)), y[~inside])
                found = _replaced(keys.filter(pl.Series(inside)), _Code.of_rates(rates))
                X[inside, self.names.index(feature.name)] = found.to_numpy()
        return X

    def _encoded(self, series: pl.Series) -> pl.Series:
        code = self._code(series.name)
        return series.cast(pl.Float64).fill_null(math.nan) if code is None else _replaced(series, code)

    def _code(self, name: str) -> "_Code | None":
        """How texts of a feature become numbers; None if it has numbers."""
        if name in self.rates:
            return _Code.of_rates(self.rates[name])
        if name not in self.levels:
            return None
        known = {level: float(code) for code, level in enumerate(self.levels[name])}
        return _Code(known, float(UNKNOWN), float(MISSING))

    def encoder(self) -> Callable[[Sequence[Any]], list[float]]:
        """A function from one vector (in the order of `names`) to the floats of a matrix row."""
        source = Code()
        nan, values = source.value(math.nan), [source.variable() for _ in self.names]
        source.add(f"[{', '.join(values)}] = vector")
        floats = []
        for name, value in zip(self.names, values, strict=True):
            code = self._code(name)
            if code is None:
                floats.append(
                    f"{value} if type({value}) is float else {nan} if {value} is None else float({value})"
                )
            else:
                known, unknown = source.value(code.known.get), source.constant(code.unknown)
                missing = source.constant(code.missing)
                floats.append(f"{missing} if {value} is None else {known}({value}, {unknown})")
        source.add(f"return [{', '.join(floats)}]")
        return source.function("vector")

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


class _Code(NamedTuple):
    """The numbers of a text feature."""

    known: dict[str, float]
    unknown: float
    missing: float

    @classmethod
    def of_rates(cls, rates: Rates) -> "_Code":
        return cls(rates.by_key, rates.overall, rates.overall)


def fit(feature_set: FeatureSet, training: pl.DataFrame, label: pl.Series | None = None) -> FittedFeatureSet:
    """Fit on the training rows: the levels seen, in alphabetical order, and the target rates.

    `label` (true/false or 1/0, of the same rows) is needed where there are target rates.

    Raises
    ------
    ConfigurationError
        if a label is needed and not given, or has another length, missing values or others than 0 and 1.
    """
    levels = {
        name: tuple(training[name].drop_nulls().unique().sort().to_list()) for name in feature_set.categories
    }
    rates: dict[str, Rates] = {}
    for feature in _target_rates(feature_set):
        if label is None:
            raise ConfigurationError(
                f"feature {feature.name!r} is a target rate, but no label was given to fit it.",
                hint="fit(feature_set, training, label)",
            )
        rates[feature.name] = _rates(feature, training[feature.name], as_label(label))
    return FittedFeatureSet(feature_set, levels, rates)


def as_label(label: pl.Series) -> Floats:
    """A label as 0.0 and 1.0.

    Raises
    ------
    ConfigurationError
        if it has missing values, or others than true/false and 1/0.
    """
    y = label.cast(pl.Float64).fill_null(math.nan).to_numpy()
    if not np.isin(y, (0.0, 1.0)).all():
        raise ConfigurationError(
            f"label {label.name!r} has {(~np.isin(y, (0.0, 1.0))).sum()} values that are neither 0 nor 1.",
            hint="Leave rows without a label out of training.",
        )
    return y


def _target_rates(feature_set: FeatureSet) -> list[TargetRate]:
    names = feature_set.target_rates
    return [f for f in feature_set.features if isinstance(f, TargetRate) and f.name in names]


def _rates(feature: TargetRate, keys: pl.Series, y: Floats) -> Rates:
    """Whole numbers are counted, then one float step per key: any order of rows gives the same bits."""
    if len(keys) != len(y) or not len(y):
        raise ConfigurationError(
            f"feature {feature.name!r} is to be fitted on {len(keys)} rows with {len(y)} labels; allowed: as "
            "many labels as rows, and at least one.",
            hint="Give the training rows and their labels.",
        )
    overall, weight = int(y.sum()) / len(y), float(feature.weight)
    rows = pl.DataFrame({"key": keys, "y": y.astype(np.int64)}).drop_nulls("key")
    counts = rows.group_by("key").agg(positives=pl.sum("y"), rows=pl.len()).sort("key")
    by_key = {key: (positives + weight * overall) / (n + weight) for key, positives, n in counts.iter_rows()}
    return Rates(overall, by_key)


def _replaced(series: pl.Series, code: _Code) -> pl.Series:
    known = series.replace_strict(
        list(code.known), list(code.known.values()), default=code.unknown, return_dtype=pl.Float64
    )
    missing = pl.Series([code.missing], dtype=pl.Float64)
    return known.zip_with(series.is_not_null(), missing).alias(series.name)
