"""Seasonal naive and the lags it shares with ARIMA: against hand-computed values."""

from typing import Any

import numpy as np
import pytest

from mlplatform.errors import ConfigurationError
from mlplatform.stages.training.models import _lags, seasonal_naive
from mlplatform_tests.stages.training.forecast_rows import forecasts, series

NAN = float("nan")


def naive(season: int, lags: int = 8) -> Any:
    return seasonal_naive.build(season=season).fit(forecasts({0: series(60)}, lags))


class TestSeasonalNaive:
    def test_a_step_takes_the_lag_at_its_place_of_the_season(self) -> None:
        model = naive(season=4)
        lags = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
        found = [model.row_scorer()([0.0, step, *lags]) for step in (1.0, 2.0, 3.0, 4.0, 5.0, 8.0)]
        assert found == [4.0, 3.0, 2.0, 1.0, 4.0, 1.0]

    def test_a_missing_lag_is_that_of_the_season_before_and_then_the_mean(self) -> None:
        model, training = naive(season=4), forecasts({0: series(60)}, 8)
        score = model.row_scorer()
        assert score([0.0, 1.0, 1.0, 2.0, 3.0, NAN, 5.0, 6.0, 7.0, 8.0]) == 8.0
        assert score([0.0, 1.0, 1.0, 2.0, 3.0, NAN, 5.0, 6.0, 7.0, NAN]) == training.y.mean()
        assert score([0.0, NAN, *range(8)]) == training.y.mean()
        assert score([0.0, 1.5, *range(8)]) == training.y.mean()

    def test_a_season_of_one_repeats_the_newest_value(self) -> None:
        assert naive(season=1).row_scorer()([0.0, 3.0, 9.0, *range(7)]) == 9.0

    def test_a_season_without_noise_is_forecast_without_error(self) -> None:
        known = np.tile([1.0, 5.0, 2.0, 8.0], 20)
        training = forecasts({0: known})
        model = seasonal_naive.build(season=4).fit(training)
        assert model.predict(training.X).tolist() == training.y.tolist()

    def test_lags_that_do_not_reach_back_one_season_are_refused(self) -> None:
        with pytest.raises(ConfigurationError, match=r"got 8 lags \(lag_1 .. lag_8\); at least 9") as caught:
            naive(season=9)
        assert caught.value.hint

    @pytest.mark.parametrize(("told", "said"), [({"step": "h"}, "'h'"), ({"lags": "delay_"}, "no delay_1")])
    def test_features_that_are_not_there_are_refused(self, told: dict[str, Any], said: str) -> None:
        with pytest.raises(ConfigurationError, match=said):
            seasonal_naive.build(season=4, **told).fit(forecasts({0: series(60)}))


def test_missing_lags_are_filled_from_the_season_before_the_next_and_the_mean() -> None:
    lags = [1.0, NAN, 3.0, NAN, 5.0, NAN, 7.0, 8.0]
    assert _lags.filled(lags, 3, 0.5) == [1.0, 5.0, 3.0, 7.0, 5.0, 3.0, 7.0, 8.0]
    assert _lags.filled([NAN, NAN, 3.0, NAN], 2, 0.5) == [3.0, 0.5, 3.0, 0.5]
    columns = np.array([lags, [NAN] * 8]).T
    assert _lags.all_filled(columns, 3, 0.5).T.tolist() == [_lags.filled(lags, 3, 0.5), [0.5] * 8]


def test_lags_end_at_a_gap() -> None:
    assert _lags.columns("k", ("a", "lag_2", "lag_1", "lag_4"), "lag_") == (2, 1)
