"""Rows for every task that an evaluator may judge, and damaged ones, for the conformance suite."""

import numpy as np

from mlplatform.stages.evaluation.values import Floats

Known = dict[str, object]
Rows = tuple[Floats, Floats, Known]


def rows(task: str, count: int = 400) -> Rows:
    """Outcomes, scores, and what else is known of the rows, of a plausible model."""
    return _MADE[task](count)


def two(task: str) -> Rows:
    """The fewest rows that can be judged."""
    y, p = np.array([0.0, 1.0]), np.array([0.4, 0.6])
    of_task: dict[str, Rows] = {
        "classification": (y, p, {}),
        "regression": (y, p, {}),
        "clustering": (y, y, {"X": np.array([[0.0], [1.0]])}),
        "ranking": (y, p, {"groups": np.array([7, 7])}),
        "forecasting": (y, p, {"steps": np.array([1.0, 2.0]), "naive": np.array([np.nan, 0.5])}),
    }
    return of_task[task]


def extremes(task: str) -> list[Rows]:
    """A perfect model and one that says the same of every row."""
    y, p, known = rows(task)
    if task == "clustering":
        X = np.asarray(known["X"])
        return [(y, (X[:, 0] > 5).astype(np.float64), known), (y, p, {"X": np.zeros_like(X)})]
    return [(y, y, known), (y, np.full_like(p, 0.3), known)]


def shuffled(judged: Rows, seed: int = 5) -> Rows:
    """The same rows in another order."""
    y, p, known = judged
    order = np.random.default_rng(seed).permutation(len(y))
    moved = {name: value[order] if isinstance(value, np.ndarray) else value for name, value in known.items()}
    return y[order], p[order], moved


def damaged(task: str) -> dict[str, tuple[Rows, str]]:
    """Rows that must be refused, with a part of the refusal."""
    y, p, known = rows(task)
    broken = {
        "a score that is no number": ((y, _with(p, np.nan), known), "row 5"),
        "an infinite score": ((y, _with(p, np.inf), known), "row 5"),
        "unequal lengths": ((y[1:], p, known) if task != "clustering" else (y, p[1:], known), "equal length"),
    }
    return broken | _OF_TASK[task](y, p, known)


def _with(values: Floats, value: float) -> Floats:
    changed = values.copy()
    changed[5] = value
    return changed


def _of_classification(y: Floats, p: Floats, known: Known) -> dict[str, tuple[Rows, str]]:
    return {
        "a score above 1": ((y, _with(p, 1.01), known), "row 5"),
        "a score below 0": ((y, _with(p, -0.01), known), "row 5"),
        "one class": ((np.zeros_like(y), p, known), "both classes"),
        "a label of 2": ((_with(y, 2.0), p, known), "neither 0 nor 1"),
    }


def _of_regression(y: Floats, p: Floats, known: Known) -> dict[str, tuple[Rows, str]]:
    return {
        "an outcome that is missing": ((_with(y, np.nan), p, known), "row 5"),
        "no rows": ((y[:0], p[:0], known), "0 rows"),
    }


def _of_clustering(y: Floats, p: Floats, known: Known) -> dict[str, tuple[Rows, str]]:
    X = np.asarray(known["X"])
    holed = X.copy()
    holed[3, 1] = np.nan
    return {
        "half a cluster": ((y, _with(p, 0.5), known), "no whole numbers"),
        "one cluster": ((y, np.zeros_like(p), known), "at least two"),
        "a feature that is missing": ((y, p, {"X": holed}), "row 3 column 1"),
    }


def _of_ranking(y: Floats, p: Floats, known: Known) -> dict[str, tuple[Rows, str]]:
    return {
        "a negative relevance": ((_with(y, -1.0), p, known), "below 0"),
        "groups of other rows": ((y, p, {"groups": np.asarray(known["groups"])[1:]}), "equal length"),
    }


def _classification(count: int) -> Rows:
    random = np.random.default_rng(3)
    p = np.round(random.beta(2, 5, count), 3)
    return (random.random(count) < p).astype(np.float64), p, {"threshold": 0.4}


def _regression(count: int) -> Rows:
    random = np.random.default_rng(4)
    p = np.round(random.gamma(2, 10, count), 2)
    return p + random.normal(0, 3, count), p, {}


def _clustering(count: int) -> Rows:
    random = np.random.default_rng(5)
    p = random.integers(0, 3, count).astype(np.float64)
    X = np.column_stack([10 * p + random.normal(0, 2, count), random.normal(0, 1, count)])
    return np.zeros(count), p, {"X": X}


def _ranking(count: int) -> Rows:
    random = np.random.default_rng(6)
    y = random.integers(0, 5, count).astype(np.float64)
    return y, np.round(y + random.normal(0, 2, count)), {"groups": random.integers(0, count // 8, count)}


def _forecasting(count: int) -> Rows:
    """24 steps a day; the naive, yesterday, is not known of the first one."""
    random = np.random.default_rng(7)
    steps = np.arange(count) % 24 + 1.0
    y = np.round(10 + 5 * np.sin(steps) + random.normal(0, 2, count), 2)
    naive = np.concatenate([np.full(min(24, count), np.nan), y[:-24]])[:count]
    return y, np.round(y + random.normal(0, 1 + steps / 12), 2), {"steps": steps, "naive": naive}


_MADE = {
    "classification": _classification,
    "regression": _regression,
    "clustering": _clustering,
    "ranking": _ranking,
    "forecasting": _forecasting,
}
_OF_TASK = {
    "classification": _of_classification,
    "regression": _of_regression,
    "clustering": _of_clustering,
    "ranking": _of_ranking,
    "forecasting": _of_regression,
}
