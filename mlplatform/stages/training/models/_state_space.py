"""Fits a seasonal ARIMA by maximum likelihood and turns it into weights of lags; it must not predict.

A Kalman filter whose parameters and start are fixed is linear in what it is given, so its forecasts of the
next steps from the L newest values are an intercept and L weights per step. The gains are statsmodels', the
filter is run once on all unit vectors together (Durbin & Koopman 2012, section 4.3).
"""

from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from mlplatform.errors import ModelError
from mlplatform.stages.training.contract import Floats, Times


class Orders(NamedTuple):
    """Of a seasonal ARIMA: (p, d, q) and (P, D, Q, s), and whether it has a constant ("c") or not ("n")."""

    order: tuple[int, int, int]
    seasonal_order: tuple[int, int, int, int]
    trend: str


class Fitted(NamedTuple):
    """`weights` (steps, values) go with the values from the newest to the oldest, `intercepts` (steps,)."""

    params: dict[str, float]
    converged: bool
    intercepts: Floats
    weights: Floats


def series(times: Times, y: Floats) -> Floats:
    """Values in the order of time at even distances, NaN where a moment has none.

    The distance is the smallest between two moments; ModelError when another is no multiple of it, or most
    moments would be missing.
    """
    order = np.argsort(times)
    apart = np.diff(times[order])
    period = int(apart.min()) if len(apart) else 1
    if (apart % period).any():
        raise ModelError(
            f"got times {period} and {int(apart[apart % period != 0][0])} microseconds apart; "
            "allowed: multiples of one distance.",
            hint="A series has one value per hour, day or other fixed step.",
        )
    places = (times[order] - times[order][0]) // period
    if places[-1] >= 100 * len(y):
        raise ModelError(
            f"got {len(y)} values of a series of {int(places[-1]) + 1} steps.",
            hint="Check the column of the target times: most steps have no value.",
        )
    values = np.full(int(places[-1]) + 1, np.nan)
    values[places] = y[order]
    return values


def fit(values: Floats, orders: Orders, maxiter: int, count: int, steps: int) -> Fitted:
    """The orders' parameters of greatest likelihood of `values`, as weights of `count` values.

    With one thread, because the number of threads decides the last bits of a product.

    Raises
    ------
    ModelError
        when statsmodels cannot fit these values.
    """
    import statsmodels.tsa.statespace.sarimax  # noqa: F401  # limits hold for libraries that are loaded

    with threadpool_limits(1):
        result = _fitted(values, orders, maxiter)
        intercepts, weights = linear(result.params, orders, count, steps)
    if not (np.isfinite(intercepts).all() and np.isfinite(weights).all()):
        raise ModelError("arima: got forecasts that are no finite numbers.", hint="Choose lower orders.")
    named = dict(zip(result.model.param_names, map(float, result.params), strict=True))
    return Fitted(named, bool(result.mle_retvals["converged"]), intercepts, weights)


def linear(params: Floats, orders: Orders, count: int, steps: int) -> tuple[Floats, Floats]:
    """Intercepts (steps,) and weights (steps, count) of the forecasts from the `count` newest values.

    The columns of `state` are the filter's answer to each unit vector and, last, to a series of zeros.
    """
    gains, system, start = _filter(params, orders, count)
    transition, design, shift, offset = system
    state = np.zeros((len(transition), count + 1))
    state[:, -1] = start
    for at in range(count):
        surprise = -(design @ state)
        surprise[at] += 1.0
        surprise[-1] -= offset
        state = transition @ state + np.outer(gains[:, at], surprise)
        state[:, -1] += shift
    forecasts = np.empty((steps, count + 1))
    for at in range(steps):
        forecasts[at] = design @ state
        forecasts[at, -1] += offset
        state = transition @ state
        state[:, -1] += shift
    return forecasts[:, -1].copy(), np.ascontiguousarray(forecasts[:, :-1][:, ::-1])


def model_of(values: Floats, orders: Orders) -> Any:
    """statsmodels' model of these values."""
    from statsmodels.tsa.statespace.sarimax import SARIMAX

    return SARIMAX(values, order=orders.order, seasonal_order=orders.seasonal_order, trend=orders.trend)


def _fitted(values: Floats, orders: Orders, maxiter: int) -> Any:
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they say is kept as `converged`
            return model_of(values, orders).fit(disp=0, maxiter=maxiter, low_memory=True)
    except (np.linalg.LinAlgError, ValueError, IndexError) as error:
        raise ModelError(
            f"arima: statsmodels cannot fit {len(values)} values: {error}.",
            hint="Give more values (fit_steps, a longer window) or choose lower orders.",
        ) from error


def _filter(
    params: Floats, orders: Orders, count: int
) -> tuple[Floats, tuple[Floats, Floats, Floats, float], Floats]:
    """Gains (states, count), the system (transition, design, state intercept, offset), the first state."""
    result = model_of(np.zeros(count), orders).filter(params).filter_results
    shift, offset = result.state_intercept[:, -1], float(result.obs_intercept[0, -1])
    system = (result.transition[:, :, -1], result.design[0, :, -1], shift, offset)
    return result.kalman_gain[:, 0, :], system, result.predicted_state[:, 0]
