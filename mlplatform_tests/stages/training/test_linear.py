"""Linear and ridge regression: the weights are scikit-learn's, whatever columns repeat each other."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, Ridge

from mlplatform.errors import ConfigurationError
from mlplatform.stages.training.contract import MISSING, UNKNOWN, Floats, TrainingSet
from mlplatform.stages.training.models import _design, constant, linear_regression, ridge_regression


def training_set(rows: int = 2000, seed: int = 0) -> TrainingSet:
    random = np.random.default_rng(seed)
    X = np.column_stack(
        [random.integers(MISSING, 4, rows), random.normal(50, 9, rows), random.normal(size=rows)]
    )
    y = 2.0 * X[:, 0] + 0.3 * X[:, 1] - X[:, 2] + random.normal(size=rows)
    X[::10, 1] = np.nan
    return TrainingSet(X, y, ("carrier", "delay", "wind"), {"carrier": 4}, "regression")


def by_hand(data: TrainingSet) -> Floats:
    """The design matrix: a column per code, standardised numbers, an indicator where one is often missing."""
    columns = [(data.X[:, 0] == code).astype(float) for code in (*range(4), MISSING, UNKNOWN)]
    for x in data.X[:, 1:].T:
        filled = np.where(np.isnan(x), np.nanmedian(x), x)
        columns += [(filled - filled.mean()) / filled.std()]
    return np.column_stack([*columns, np.isnan(data.X[:, 1]).astype(float)])


def test_least_squares_are_those_of_scikit_learn() -> None:
    data = training_set()
    theirs = LinearRegression().fit(by_hand(data), data.y).predict(by_hand(data))
    np.testing.assert_allclose(linear_regression.build().fit(data).predict(data.X), theirs, atol=1e-9)


def test_the_ridge_is_that_of_scikit_learn() -> None:
    data = training_set()
    theirs = Ridge(alpha=30.0).fit(by_hand(data), data.y).predict(by_hand(data))
    np.testing.assert_allclose(
        ridge_regression.build(alpha=30.0).fit(data).predict(data.X), theirs, atol=1e-8
    )


def test_a_stronger_penalty_brings_scores_closer_to_the_mean() -> None:
    data = training_set()
    weak, strong = (ridge_regression.build(alpha=a).fit(data).predict(data.X).std() for a in (1.0, 1e5))
    assert strong < 0.2 * weak


def test_columns_that_repeat_each_other_change_nothing() -> None:
    data = training_set()
    twice = np.ascontiguousarray(np.hstack([data.X, data.X[:, 1:] * 60 + 7]))
    repeated = TrainingSet(twice, data.y, ("a", "b", "c", "d", "e"), {"a": 4}, "regression")
    scores = linear_regression.build().fit(repeated).predict(twice)
    np.testing.assert_allclose(scores, linear_regression.build().fit(data).predict(data.X), atol=1e-6)


def test_a_code_never_seen_scores_near_the_mean_of_all() -> None:
    data = training_set()
    kept = data.X[:, 0] >= 0
    known = TrainingSet(
        np.ascontiguousarray(data.X[kept]), data.y[kept], data.names, data.categories, "regression"
    )
    model = linear_regression.build().fit(known)
    row = np.array([[UNKNOWN, np.nanmean(known.X[:, 1]), 0.0]])
    assert model.predict(row)[0] == pytest.approx(known.y.mean(), abs=0.5)


def test_a_line_of_the_design_is_a_row_of_the_matrix_to_the_bit() -> None:
    data = training_set()
    columns = _design.columns(data, slice(None), max_levels=2)
    data.X[7] = [np.nan, 1e300, -0.0]
    lines = np.array([_design.line(row, columns) for row in data.X.tolist()])
    assert lines.tobytes() == np.ascontiguousarray(_design.matrix(data.X, columns)).tobytes()


def test_the_constant_is_the_mean_or_the_median() -> None:
    y = np.array([0.0, 1.0, 2.0, 9.0])
    numbers = TrainingSet(np.zeros((4, 1)), y, ("a",), task="regression")
    assert constant.build().fit(numbers).row_scorer()([5.0]) == 3.0
    assert constant.build(statistic="median").fit(numbers).row_scorer()([5.0]) == 1.5
    classes = TrainingSet(np.zeros((4, 1)), np.array([0.0, 1.0, 0.0, 0.0]), ("a",))
    assert constant.build().fit(classes).predict(np.zeros((2, 1))).tolist() == [0.25, 0.25]
    with pytest.raises(ConfigurationError, match="median"):
        constant.build(statistic="median").fit(classes)
