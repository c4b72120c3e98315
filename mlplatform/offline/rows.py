"""Rows for training and evaluation: features joined with the part and label of a split."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt
import polars as pl

from mlplatform.errors import NotFound
from mlplatform.offline.config import Series
from mlplatform.offline.declared import Declared
from mlplatform.stages.preparation.durations import microseconds
from mlplatform.stages.preparation.fitted import FittedFeatureSet
from mlplatform.stages.training.training_set import Floats, TrainingSet
from mlplatform.stores.lake import Lake

MONTH = "month"
"""A column to slice by that every row has: the month of its day."""


def of_part(declared: Declared, lake: Lake, as_of: str, part: str) -> pl.DataFrame:
    """Features, `label` and `day` of the questions in one part of a split.

    They are in the order of the split where its strategy shuffles, else in that of day and key.

    Raises
    ------
    NotFound
        if the part has no rows with features.
    """
    feature_set = declared.feature_set
    split = lake.read(declared.table("split"), partitions=[as_of]).filter(pl.col("part") == part)
    key = list(feature_set.spine.key)
    if split.height:
        days = split["day"].sort()
        columns = list(dict.fromkeys([*key, *feature_set.names]))
        features = lake.read(declared.table("features"), columns=columns, first=days[0], last=days[-1])
        place = "place" if "place" in split.columns else pl.lit(None, pl.Int64)
        rows = (
            split.select(*key, "label", "day", "split_id", _place=place)
            .join(features, on=key, how="inner")
            .sort("_place", "day", *key)
            .drop("_place")
        )
        if rows.height:
            return rows
    raise NotFound(
        f"the split of {declared.name!r} as of {as_of} has no {part} rows with features.",
        hint=f"Materialise features and split, or choose a date with data on both sides of it: "
        f"mlplatform run {declared.name}.",
    )


def labels(rows: pl.DataFrame) -> npt.NDArray[np.float64]:
    """The labels as float64: true is 1.0; in clustering, which has none, 0.0."""
    found = rows["label"].cast(pl.Float64)
    return (found.fill_null(0.0) if found.null_count() == len(found) else found).to_numpy()


def training_set(declared: Declared, fitted: FittedFeatureSet, rows: pl.DataFrame) -> TrainingSet:
    """The rows a feature set was fitted on, as models take them."""
    task, series = declared.config.task, declared.config.series
    return TrainingSet(
        fitted.training_matrix(rows, rows["label"]),
        labels(rows),
        fitted.names,
        fitted.categories,
        task,
        groups(rows, declared.config.output.by) if task in ("ranking", "forecasting") else None,
        rows[series.time].dt.epoch("us").to_numpy() if series else None,
    )


def groups(rows: pl.DataFrame, by: Sequence[str]) -> npt.NDArray[np.int64]:
    """Per row the number of its ranked list or series: rows of equal `by` have one number."""
    if not by:
        return np.zeros(rows.height, dtype=np.int64)
    numbers = rows.select(by).unique().sort(by).with_row_index("number")
    found = rows.select(by).join(numbers, on=by, how="left", nulls_equal=True, maintain_order="left")
    return found["number"].cast(pl.Int64).to_numpy()


def judgeable(declared: Declared, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows without those of lists that are too short to be judged; NotFound if none is left."""
    lists = declared.config.lists
    if lists is None:
        return rows
    kept = rows.filter(pl.len().over(lists.by) >= lists.at_least)
    if not kept.height:
        raise NotFound(
            f"no list of {declared.name!r} has {lists.at_least} alternatives among {rows.height} rows.",
            hint="Set lists.at_least lower, or lists.by to fewer columns.",
        )
    return kept


def comparable(X: Floats) -> Floats:
    """Columns of mean 0 and deviation 1, missing values at the median: distances weigh features alike."""
    with np.errstate(all="ignore"):
        filled = np.where(np.isnan(X), np.nan_to_num(np.nanmedian(X, axis=0)), X)
    spread = filled.std(axis=0)
    scaled: Floats = (filled - filled.mean(axis=0)) / np.where(spread > 0.0, spread, 1.0)
    return scaled


def outcome(declared: Declared, lake: Lake, rows: pl.DataFrame, column: str) -> Floats:
    """A numeric column of the spine's table for these rows; NaN where it is missing."""
    key, days = list(declared.feature_set.spine.key), rows["day"].sort()
    table = declared.table(declared.feature_set.spine.table)
    told = lake.read(table, columns=[*key, column], first=days[0], last=days[-1])
    found = rows.select(key).join(told, on=key, how="left", maintain_order="left")
    return found[column].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def steps(declared: Declared, rows: pl.DataFrame) -> npt.NDArray[np.float64]:
    """How many steps ahead each row of a forecast is: 1 for the one at its start."""
    series = _series(declared)
    ahead = (rows[series.time] - rows[series.start]).dt.total_microseconds()
    return (ahead / microseconds(series.step) + 1.0).to_numpy()


def naive(declared: Declared, lake: Lake, rows: pl.DataFrame) -> npt.NDArray[np.float64]:
    """The seasonal naive forecast of each row: the outcome as many seasons ago as were known at its start.

    NaN where there is no such outcome (Hyndman & Athanasopoulos 2021, section 5.2).
    """
    series, target = _series(declared), declared.config.target or ""
    season = microseconds(series.season)
    ahead = pl.col(series.time) - pl.col(series.start)
    ago = pl.duration(microseconds=(ahead.dt.total_microseconds() // season + 1) * season)
    asked = rows.select(*series.by, pl.col(series.time) - ago)
    known = lake.read(
        declared.table(declared.feature_set.spine.table),
        columns=[*series.by, series.time, target],
        moments={series.time: (_moment(asked[series.time].min()), _moment(asked[series.time].max()))},
    ).unique([*series.by, series.time], keep="any")
    found = asked.join(known, on=[*series.by, series.time], how="left", maintain_order="left")
    return found[target].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _moment(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None


def _series(declared: Declared) -> Series:
    series = declared.config.series
    assert series is not None, "only a forecasting use case has steps"
    return series


def sliceable(declared: Declared) -> list[str]:
    """The columns that rows can be sliced by."""
    feature_set = declared.feature_set
    return list(dict.fromkeys([*feature_set.spine.key, *feature_set.names, MONTH]))


def column(rows: pl.DataFrame, name: str) -> pl.Series:
    """A column to slice rows by; `month` is that of the row's day unless a feature has this name."""
    if name == MONTH and name not in rows.columns:
        return rows["day"].str.head(7).alias(MONTH)
    return rows[name]
