"""Errors of numbers and forecasts, and residuals: against hand-computed values and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from mlplatform.errors import ModelError
from mlplatform.stages.evaluation.evaluators import forecast_errors, regression_errors, residuals

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


Y, P = np.array([10.0, 12.0, 8.0, 20.0]), np.array([11.0, 12.0, 5.0, 20.0])
STEPS, NAIVE = np.array([1.0, 2.0, 1.0, 2.0]), np.array([12.0, 8.0, np.nan, 14.0])


def test_errors_of_a_forecast_by_hand() -> None:
    # The naive is off by 2, 4 and 6, and not known of the third row.
    said = forecast_errors.evaluate(Y, P, STEPS, NAIVE)
    assert said.figures == {
        "mae": 1.0,
        "rmse": pytest.approx(2.5**0.5),
        "mae_naive": 4.0,
        "mase": 0.25,
        "gain_over_naive": 0.75,
    }
    assert said.picture is not None
    predictions, naive = said.picture.lines
    assert (predictions.x, predictions.y) == ((1.0, 2.0), (2.0, 0.0))
    assert (naive.x, naive.y) == ((1.0, 2.0), (2.0, 5.0))


def test_the_naive_itself_gains_nothing() -> None:
    figures = forecast_errors.evaluate(Y, Y[::-1], STEPS, Y[::-1]).figures
    assert (figures["mase"], figures["gain_over_naive"]) == (1.0, 0.0)


@pytest.mark.parametrize("naive", [np.full(4, np.nan), Y])
def test_without_a_scale_there_is_no_mase(naive: np.ndarray) -> None:
    assert set(forecast_errors.evaluate(Y, P, STEPS, naive).figures) == {"mae", "rmse"}


@pytest.mark.parametrize(
    ("steps", "naive", "said"),
    [
        (STEPS[1:], NAIVE, r"steps of shape \(3,\)"),
        (
            np.array([1.0, np.nan, 1.0, 2.0]),
            NAIVE,
            "1 of 4 steps that are not finite, the first nan in row 1",
        ),
        (STEPS, np.where(NAIVE == 8.0, np.inf, NAIVE), "naive predictions that are not finite, .* in row 1"),
        (STEPS, NAIVE[:2], r"naive predictions of shape \(2,\)"),
    ],
)
def test_forecasts_that_cannot_be_judged_are_refused(steps: np.ndarray, naive: np.ndarray, said: str) -> None:
    with pytest.raises(ModelError, match=said) as caught:
        forecast_errors.evaluate(Y, P, steps, naive)
    assert caught.value.hint
