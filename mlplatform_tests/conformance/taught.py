"""Rows that every model is taught and asked, per task, for the conformance suite."""

import numpy as np

from mlplatform.stages.training.contract import MISSING, UNKNOWN, Floats, Task, TrainingSet

NAMES = ("carrier", "origin", "hour", "delay", "wind", "constant", "absent", "count", "distance")
CATEGORIES = {"carrier": 12, "origin": 3}
SEASON, STEPS, LAGS = 4, 3, 10
"""Of the forecasts: values at the hours of a short day, the next steps, the newest values."""
FORECAST = ("origin", "step", "wind", "constant", "absent", *(f"lag_{k + 1}" for k in range(LAGS)))


def names_of(task: Task) -> tuple[str, ...]:
    return FORECAST if task == "forecasting" else NAMES


def rows(count: int, seed: int, task: Task = "classification") -> Floats:
    """Rows with missing values and more that a model may meet."""
    return forecast(count, seed).X if task == "forecasting" else flights(count, seed)


def forecast(count: int, seed: int) -> TrainingSet:
    """Three series with a season and a memory, forecast every STEPS for as many; 5 % of the lags are lost."""
    random, made = np.random.default_rng(seed), -(-count // (3 * STEPS))
    length = LAGS + made * STEPS
    memory = np.zeros((3, length))
    for hour in range(1, length):
        memory[:, hour] = 0.8 * memory[:, hour - 1] + random.normal(size=3)
    season = np.array([8.0, 0.0, -5.0, 3.0])[np.arange(length) % SEASON]
    values = 20.0 + 5.0 * np.arange(3)[:, None] + season + memory
    series, at, step = (
        each.ravel() for each in np.meshgrid(range(3), range(made), range(STEPS), indexing="ij")
    )
    newest = LAGS + at * STEPS - 1
    lags = values[series[:, None], newest[:, None] - np.arange(LAGS)]
    lags[random.random(lags.shape) < 0.05] = np.nan
    other = random.normal(size=len(series)), np.full(len(series), 7.25), np.full(len(series), np.nan)
    X = np.ascontiguousarray(np.column_stack([series, step + 1.0, *other, lags])[:count])
    y, hours = values[series, newest + 1 + step][:count], (newest + 1 + step)[:count]
    groups, times = series[:count].astype(np.int64), hours.astype(np.int64) * 3_600_000_000
    return TrainingSet(X, y, FORECAST, {"origin": 3}, "forecasting", groups, times)


def flights(count: int, seed: int) -> Floats:
    """Rows with missing values, unseen and missing categories, large and constant columns."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(count, len(NAMES)))
    X[:, 0] = random.integers(MISSING, 12, count)
    X[:, 1] = random.integers(UNKNOWN, 3, count)
    X[:, 2] = random.integers(6, 12, count)
    X[:, 3] = np.round(X[:, 3] * 40)
    X[:, 4] = np.exp(X[:, 4] * 3)
    X[:, 5] = 7.25
    X[:, 7] = random.poisson(5, count)
    X[:, 8] = 1e9 + X[:, 8]
    X[:, 2:][random.random((count, len(NAMES) - 2)) < 0.1] = np.nan
    X[:, 6] = np.nan
    return X


def training_set(count: int = 3000, seed: int = 1, task: Task = "classification") -> TrainingSet:
    """Labels that hang on two numbers and a category, with noise; those of a forecast on its series."""
    if task == "forecasting":
        return forecast(count, seed)
    X, random = flights(count, seed), np.random.default_rng(seed + 1)
    logit = 0.03 * np.nan_to_num(X[:, 3]) + 0.3 * (X[:, 0] - 5) + 0.1 * (np.nan_to_num(X[:, 2]) - 9)
    labels: dict[Task, Floats] = {
        "classification": (random.random(count) < 1 / (1 + np.exp(-logit))).astype(np.float64),
        "regression": 20 * logit + random.normal(size=count),
        "clustering": np.zeros(count),
        "ranking": np.clip(np.round(logit + random.normal(size=count)), 0, 4),
    }
    groups = random.integers(0, count // 10, count) if task == "ranking" else None
    return TrainingSet(X, labels[task], NAMES, CATEGORIES, task, groups)


def unseen(task: Task) -> Floats:
    """700 rows the model was not trained on, the last ones of extreme kinds."""
    X = rows(700, seed=2, task=task)
    if task == "forecasting":
        X[:3, 0], X[3:6, 1] = (UNKNOWN, MISSING, 1000), (np.nan, 0.0, 1.5)
        X[6:9, 5:], X[9, 5:] = np.array([[np.nan], [1e300], [-1e300]]), -0.0
        X[10] = np.nan
        X[11:14, 6:] = np.nan
        X[14:17, 5:-1] = np.nan
        return X
    X[-1] = np.nan
    X[-2, :2] = UNKNOWN
    X[-3, :2] = MISSING
    X[-4, :2] = 1000
    X[-5, 2:] = 1e300
    X[-6, 2:] = -1e300
    X[-7] = -0.0
    X[-8, :2] = 0.5
    return X
