"""Rows to learn from: a week or more of real flights, and made ones for a ranking."""

from functools import cache
from io import BytesIO

import numpy as np
import polars as pl

from mlplatform.sources import nycflights13
from mlplatform.stages.training.contract import Task, TrainingSet

NUMBERS = ("hour", "minute", "distance", "weekday")
CATEGORIES = ("carrier", "origin", "dest")


@cache
def _flights() -> pl.DataFrame:
    read = pl.read_csv(BytesIO(nycflights13.read("flights")), null_values=["NA", ""])
    kept = read.filter(pl.col("arr_delay").is_not_null(), pl.col("month") <= 2)
    day = pl.date("year", "month", "day")
    return kept.with_columns(weekday=day.dt.weekday(), date=day).sort("date", "hour", "carrier", "flight")


def training_set(task: Task = "classification", rows: int = 20_000, skip: int = 0) -> TrainingSet:
    """Flights from January on: late by 15 minutes or more, or by how many; `skip` rows are left out first."""
    frame = _flights()[skip : skip + rows]
    columns = [frame[name].to_numpy().astype(np.float64) for name in NUMBERS]
    known = {}
    for name in CATEGORIES:
        levels = sorted(_flights()[name].unique())
        known[name] = len(levels)
        columns.append(np.searchsorted(levels, frame[name].to_list()).astype(np.float64))
    X = np.ascontiguousarray(np.column_stack(columns))
    X[::97, 0], X[::89, 4] = np.nan, -1.0  # some hours missing, some carriers unknown
    delay = frame["arr_delay"].to_numpy().astype(np.float64)
    if task == "ranking":  # of a day, the flights that came least late are to come first
        relevance = np.digitize(-delay, [-60.0, -15.0, 0.0, 15.0]).astype(np.float64)
        groups = frame["date"].dt.ordinal_day().to_numpy().astype(np.int64) * 24 + frame["hour"].to_numpy()
        return TrainingSet(X, relevance, (*NUMBERS, *CATEGORIES), known, task, groups)
    y = (delay >= 15).astype(np.float64) if task == "classification" else delay
    return TrainingSet(X, y, (*NUMBERS, *CATEGORIES), known, task)
