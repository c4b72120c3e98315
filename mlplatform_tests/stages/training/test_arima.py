"""ARIMA: against statsmodels' own forecasts, and what it does where there is nothing to forecast from."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from statsmodels.tsa.statespace.sarimax import SARIMAX

from mlplatform.errors import ConfigurationError, ModelError
from mlplatform.stages.training.contract import UNKNOWN, Floats, TrainingSet
from mlplatform.stages.training.models import _state_space, arima, seasonal_naive
from mlplatform.stages.training.models._arima import Arima
from mlplatform_tests.stages.training.forecast_rows import HOUR, forecasts, series

NAN = float("nan")
ORDERS = [
    _state_space.Orders((1, 0, 1), (0, 1, 1, 4), "n"),
    _state_space.Orders((1, 0, 1), (0, 1, 1, 4), "c"),
    _state_space.Orders((2, 0, 0), (0, 0, 0, 0), "c"),
    _state_space.Orders((0, 1, 1), (0, 0, 0, 0), "n"),
    _state_space.Orders((1, 1, 1), (1, 1, 1, 4), "c"),
    _state_space.Orders((1, 0, 0), (1, 0, 1, 4), "n"),
]


@pytest.mark.parametrize("orders", ORDERS, ids=str)
def test_the_weights_are_the_forecast_of_statsmodels(orders: _state_space.Orders) -> None:
    values = series(400)
    fitted = _state_space.fit(values, orders, maxiter=30, count=24, steps=9)
    params = list(fitted.params.values())
    for end in (100, 237, 400):
        newest = values[end - 24 : end]
        own = SARIMAX(newest, order=orders.order, seasonal_order=orders.seasonal_order, trend=orders.trend)
        expected = own.filter(params).forecast(9)
        found = fitted.intercepts + fitted.weights @ newest[::-1]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)


def fitted_by_hand(values: Floats, lags: int) -> Any:
    known = values[lags:]  # the moments that are labels of some row
    return SARIMAX(known, order=(1, 0, 1), seasonal_order=(0, 1, 1, 4)).fit(disp=0)


def build(**told: Any) -> Any:
    return arima.build(**{"seasonal_order": [0, 1, 1, 4], "series": "origin", **told})


def test_a_fitted_model_forecasts_as_statsmodels_applied_to_the_same_lags() -> None:
    values = {0: series(400), 2: series(400, seed=5) * 3}
    training = forecasts(values)
    model = build().fit(training)
    for code, known in values.items():
        result = fitted_by_hand(known, 12)
        newest = known[50:62]
        expected = result.apply(newest).forecast(4)
        rows = np.array([[code, step, *newest[::-1]] for step in (1.0, 2.0, 3.0, 4.0)])
        np.testing.assert_allclose(model.predict(rows), expected, rtol=0, atol=1e-6)


def test_it_beats_the_seasonal_naive_where_there_is_noise() -> None:
    training, fresh = forecasts({0: series(400)}), forecasts({0: series(400, seed=8)})
    errors = [
        np.abs(estimator.fit(training).predict(fresh.X) - fresh.y).mean()
        for estimator in (build(), seasonal_naive.build(season=4))
    ]
    assert errors[0] < 0.85 * errors[1]


def test_gaps_of_a_series_are_missing_values() -> None:
    values = series(400)
    training = forecasts({0: values})
    kept = np.random.default_rng(0).random(len(training.y)) > 0.1
    holed = TrainingSet(
        np.ascontiguousarray(training.X[kept]),
        training.y[kept],
        training.names,
        training.categories,
        "forecasting",
        training.queries[kept],
        training.moments[kept],
    )
    known = np.full(len(values), NAN)
    known[holed.moments // HOUR] = holed.y
    result = fitted_by_hand(known, 12)
    model = build().fit(holed)
    rows = np.array([[0.0, step, *values[100:112][::-1]] for step in (1.0, 4.0)])
    expected = result.apply(values[100:112]).forecast(4)[[0, 3]]
    np.testing.assert_allclose(model.predict(rows), expected, rtol=0, atol=1e-6)


def test_a_series_that_was_not_fitted_gets_its_seasonal_naive() -> None:
    model = build().fit(forecasts({0: series(400), 1: series(30)}))
    lags = [*range(1, 13)]
    assert isinstance(model, Arima)
    for code in (1.0, UNKNOWN, NAN, 7.0):
        assert model.row_scorer()([code, 1.0, *lags]) == 4.0
    assert model.row_scorer()([0.0, 1.0, *lags]) != 4.0


def test_one_series_needs_no_feature_that_tells_it() -> None:
    training = forecasts({0: series(400)})
    one, by_name = build(series=None).fit(training), build().fit(training)
    assert one.predict(training.X).tobytes() == by_name.predict(training.X).tobytes()


def test_only_the_newest_steps_are_fitted() -> None:
    short, cut = series(412), series(412)
    cut[:200] = 99.0
    files = [build(fit_steps=150).fit(forecasts({0: each})).files()["weights.npy"] for each in (short, cut)]
    assert files[0] == files[1]
    assert build(fit_steps=390).fit(forecasts({0: short})).files()["weights.npy"] != files[0]


def test_that_a_fit_did_not_converge_is_saved() -> None:
    model = build(maxiter=1).fit(forecasts({0: series(400)}))
    assert b'"converged":false' in model.files()["model.json"]
    assert b'"ar.L1":' in model.files()["model.json"]


def test_to_open_and_to_score_takes_no_statsmodels(tmp_path: Path) -> None:
    training = forecasts({0: series(400)})
    model = build().fit(training)
    for name, content in model.files().items():
        (tmp_path / name).write_bytes(content)
    row = training.X[0].tolist()
    code = f"""
import sys
from pathlib import Path
from mlplatform.stages.training.models import arima
model = arima.load({{path.name: path.read_bytes() for path in Path({str(tmp_path)!r}).iterdir()}})
loaded = any(name.startswith(("statsmodels", "scipy")) for name in sys.modules)
print(repr(model.row_scorer()({row!r})), loaded)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == [repr(model.row_scorer()(row)), "False"]


def test_a_step_beyond_those_of_training_is_refused() -> None:
    model = build().fit(forecasts({0: series(400)}))
    row = [0.0, 5.0, *range(12)]
    with pytest.raises(ModelError, match=r"got step 5; allowed: 1 .. 4") as caught:
        model.predict(np.array([row]))
    assert caught.value.hint
    with pytest.raises(ModelError, match="got step 5"):
        model.row_scorer()(row)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"seasonal_order": [0, 1, 1, 14]}, "got 12 lags .* at least 15"),
        ({"series": None}, "got 2 series and no parameter series"),
        ({"series": "lag_1"}, "got series: 'lag_1', a number; allowed: origin"),
        ({"series": "airport"}, "got feature 'airport'"),
        ({"seasonal_order": [0, 1, 1, 1]}, "allowed: .* s of 2 and more"),
        ({"seasonal_order": [0, 1, 1, 0]}, "allowed: .* s of 2 and more"),
        ({"order": [1, 0]}, "order"),
        ({"trend": "ct"}, "trend"),
    ],
)
def test_what_cannot_be_fitted_is_refused(told: dict[str, Any], said: str) -> None:
    training = forecasts({0: series(200), 1: series(200, seed=3)})
    with pytest.raises(ConfigurationError, match=said):
        build(**told).fit(training)


def test_too_few_values_of_every_series_are_refused() -> None:
    with pytest.raises(ModelError, match="got no series of 19 values"):
        build().fit(forecasts({0: series(24)}))


def test_two_series_of_one_level_are_refused() -> None:
    training = forecasts({0: series(200), 1: series(200, seed=3)})
    training.X[:, 0] = 0.0
    with pytest.raises(ModelError, match="several groups of rows in level 0 of 'origin'"):
        build().fit(training)


@pytest.mark.parametrize(
    ("times", "said"),
    [([0, 60, 150], "multiples of one distance"), ([0, 60, 60_000_000], "3 values of a series")],
)
def test_times_off_the_beat_are_refused(times: list[int], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        _state_space.series(np.array(times), np.array([1.0, 2.0, 3.0]))


def test_a_series_is_put_in_order_with_its_gaps() -> None:
    found = _state_space.series(np.array([3, 1, 2, 6]) * HOUR, np.array([3.0, 1.0, 2.0, 6.0]))
    assert np.array_equal(found, [1.0, 2.0, 3.0, NAN, NAN, 6.0], equal_nan=True)
