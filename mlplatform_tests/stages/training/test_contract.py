"""A training set is refused when it is not what its contract says."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from mlplatform.errors import ModelError
from mlplatform.stages.training.contract import TrainingSet, check_learnable

X = np.zeros((4, 2))
Y = np.array([0.0, 1.0, 0.0, 1.0])


@pytest.mark.parametrize(
    ("X", "y", "names", "categories"),
    [
        (X.astype(np.float32), Y, ("a", "b"), {}),
        (np.zeros((4, 4))[:, ::2], Y, ("a", "b"), {}),
        (np.zeros(4), Y, ("a",), {}),
        (X, Y[:3], ("a", "b"), {}),
        (X, Y.astype(int), ("a", "b"), {}),
        (X, Y, ("a",), {}),
        (X, Y, ("a", "a"), {}),
        (X, Y, ("a", "b"), {"c": 3}),
    ],
)
def test_shapes_types_and_names_are_checked(
    X: Any, y: Any, names: Any, categories: Mapping[str, int]
) -> None:
    with pytest.raises(ModelError, match="got"):
        TrainingSet(X, y, names, categories)


@pytest.mark.parametrize("labels", [[], [0.0, 1.0, 2.0, 0.0], [0.0, np.nan, 1.0, 0.0], [1.0] * 4])
def test_labels_that_teach_nothing_are_refused(labels: list[float]) -> None:
    training = TrainingSet(np.zeros((len(labels), 2)), np.array(labels, dtype=np.float64), ("a", "b"))
    with pytest.raises(ModelError, match="labels") as caught:
        check_learnable(training)
    assert caught.value.hint


def test_category_columns_are_places_in_the_row() -> None:
    training = TrainingSet(X, Y, ("a", "b"), {"b": 3})
    assert training.category_columns == (1,)
    check_learnable(training)


GROUPS = np.array([0, 0, 1, 1])
TIMES = np.array([0, 3_600_000_000, 0, 3_600_000_000])


@pytest.mark.parametrize(
    ("task", "groups"),
    [
        ("prophecy", None),
        ("forecasting", None),
        ("ranking", None),
        ("ranking", GROUPS[:3]),
        ("ranking", GROUPS.astype(np.float64)),
        ("classification", GROUPS),
    ],
)
def test_tasks_and_groups_are_checked(task: Any, groups: Any) -> None:
    with pytest.raises(ModelError, match="got"):
        TrainingSet(X, Y, ("a", "b"), {}, task, groups)


@pytest.mark.parametrize(
    ("task", "groups", "times"),
    [
        ("forecasting", GROUPS, None),
        ("forecasting", None, TIMES),
        ("forecasting", GROUPS, TIMES[:3]),
        ("forecasting", GROUPS, TIMES.astype(np.float64)),
        ("ranking", GROUPS, TIMES),
        ("regression", None, TIMES),
    ],
)
def test_times_are_of_a_forecast_only(task: Any, groups: Any, times: Any) -> None:
    with pytest.raises(ModelError, match=r"got (no )?(times|groups)"):
        TrainingSet(X, Y, ("a", "b"), {}, task, groups, times)


@pytest.mark.parametrize(
    ("task", "labels", "message"),
    [
        ("regression", [], "labels"),
        ("regression", [3.0], "at least 2 different"),
        ("regression", [3.0, 3.0], "at least 2 different"),
        ("regression", [3.0, np.inf], "not finite"),
        ("regression", [3.0, np.nan], "not finite"),
        ("clustering", [], "no training rows"),
        ("forecasting", [3.0, 3.0], "at least 2 different"),
        ("forecasting", [3.0, np.nan], "not finite"),
        ("ranking", [], "without a group"),
        ("ranking", [0.0, 0.0, 1.0, 1.0], "without a group"),
        ("ranking", [0.0, -1.0, 1.0, 1.0], "down to -1"),
        ("ranking", [0.0, np.nan, 1.0, 1.0], "not finite"),
    ],
)
def test_each_task_has_labels_that_teach_nothing(task: Any, labels: list[float], message: str) -> None:
    rows = len(labels)
    groups = GROUPS[:rows] if task in ("ranking", "forecasting") else None
    times = TIMES[:rows] if task == "forecasting" else None
    y = np.array(labels, dtype=np.float64)
    training = TrainingSet(np.zeros((rows, 1)), y, ("a",), {}, task, groups, times)
    with pytest.raises(ModelError, match=message) as caught:
        check_learnable(training)
    assert caught.value.hint


def test_labels_that_teach_something_pass() -> None:
    check_learnable(TrainingSet(X, Y * 3.5, ("a", "b"), task="regression"))
    check_learnable(TrainingSet(X, np.full(4, np.nan), ("a", "b"), task="clustering"))
    check_learnable(TrainingSet(X, Y * 0.5, ("a", "b"), task="ranking", groups=GROUPS[::-1].copy()))
    check_learnable(TrainingSet(X, Y, ("a", "b"), task="forecasting", groups=GROUPS, times=TIMES))


def test_a_moment_of_a_series_has_one_label() -> None:
    twice = TrainingSet(X, Y, ("a", "b"), task="forecasting", groups=GROUPS, times=TIMES * 0)
    with pytest.raises(ModelError, match="2 times two labels of one moment: series 0, time 0") as caught:
        check_learnable(twice)
    assert caught.value.hint


def test_groups_are_of_a_ranking_or_a_forecast_only() -> None:
    assert TrainingSet(X, Y, ("a", "b"), task="ranking", groups=GROUPS).queries is GROUPS
    forecast = TrainingSet(X, Y, ("a", "b"), task="forecasting", groups=GROUPS, times=TIMES)
    assert (forecast.queries is GROUPS, forecast.moments is TIMES) == (True, True)
    with pytest.raises(ModelError, match="only ranking or forecasting has them"):
        _ = TrainingSet(X, Y, ("a", "b")).queries
    with pytest.raises(ModelError, match="only forecasting has them"):
        _ = TrainingSet(X, Y, ("a", "b")).moments
