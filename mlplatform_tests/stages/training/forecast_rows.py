"""Made-up series and the rows of their forecasts."""

import numpy as np

from mlplatform.stages.training.contract import Floats, TrainingSet

HOUR = 3_600_000_000


def series(length: int, seed: int = 0, season: int = 4) -> Floats:
    """A season, a memory of 0.7 and noise around 20."""
    random, memory = np.random.default_rng(seed), np.zeros(length)
    for at in range(1, length):
        memory[at] = 0.7 * memory[at - 1] + random.normal()
    return 20.0 + memory + 5.0 * np.cos(2 * np.pi * np.arange(length) / season)


def forecasts(values: dict[int, Floats], lags: int = 12, steps: int = 4, origin: bool = True) -> TrainingSet:
    """One forecast per `steps` hours of each series, with its lags; the rows in an order of chance."""
    rows, y, groups, times = [], [], [], []
    for code, known in values.items():
        for made in range(lags, len(known) - steps + 1, steps):
            for step in range(steps):
                rows.append([code, step + 1, *known[made - lags : made][::-1]])
                y.append(known[made + step])
                groups.append(code)
                times.append((made + step) * HOUR)
    names = ("origin", "step", *(f"lag_{k + 1}" for k in range(lags)))
    order = np.random.default_rng(1).permutation(len(rows))
    X, labels = np.array(rows, dtype=np.float64)[order], np.array(y)[order]
    return TrainingSet(
        X,
        labels,
        names,
        {"origin": max(values) + 1},
        "forecasting",
        np.array(groups)[order],
        np.array(times)[order],
    )
