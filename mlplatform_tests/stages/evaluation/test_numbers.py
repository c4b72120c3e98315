"""Regression errors and residuals: against hand-computed values and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from mlplatform.stages.evaluation.evaluators import regression_errors, residuals

numbers = st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=2, max_size=60)


def test_errors_by_hand() -> None:
    figures = regression_errors.evaluate(np.array([1.0, 2.0, 6.0]), np.array([2.0, 2.0, 2.0])).figures
    assert figures["rmse"] == pytest.approx((17 / 3) ** 0.5)
    assert figures["mae"] == pytest.approx(5 / 3)
    assert figures["mean_error"] == pytest.approx(-1.0)
    assert figures["r2"] == pytest.approx(1 - 17 / 14)


@given(numbers)
def test_errors_agree_with_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    y, p = (np.array(column, dtype=np.float64) for column in zip(*pairs, strict=True))
    figures = regression_errors.evaluate(y, p).figures
    assert figures["rmse"] == pytest.approx(metrics.root_mean_squared_error(y, p), abs=1e-9)
    assert figures["mae"] == pytest.approx(metrics.mean_absolute_error(y, p), abs=1e-9)
    if len(set(y)) > 1:
        assert figures["r2"] == pytest.approx(metrics.r2_score(y, p), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("level", [0.0, 0.1, 1e9])
def test_a_constant_outcome_has_no_r2(level: float) -> None:
    assert set(regression_errors.evaluate(np.full(9, level), np.arange(9.0)).figures) == {
        *("rmse", "mae", "mean_error")
    }


def test_residuals_show_a_bias_that_the_mean_hides() -> None:
    p = np.arange(100.0)
    y = p + np.where(p < 50, 3.0, -3.0)
    said = residuals.evaluate(y, p)
    assert said.figures == {"largest_bias": pytest.approx(3.0)}
    predicted, mean = residuals.by_prediction(y, p)
    assert predicted.tolist() == pytest.approx([4.5 + 10 * n for n in range(10)])
    assert mean.tolist() == pytest.approx([3.0] * 5 + [-3.0] * 5)


def test_equal_predictions_are_one_group() -> None:
    predicted, mean = residuals.by_prediction(np.arange(10.0), np.full(10, 2.0))
    assert (predicted.tolist(), mean.tolist()) == ([2.0], [2.5])
