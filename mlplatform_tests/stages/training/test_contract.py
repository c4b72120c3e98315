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
