"""Errors of a forecast: how large, against the seasonal naive, and how they grow with the steps ahead.

It must not forecast: the seasonal naive's predictions are given, those of the same rows.
"""

import numpy as np

from mlplatform.stages.evaluation.checks import check_forecasts
from mlplatform.stages.evaluation.evaluators._losses import absolute, squared
from mlplatform.stages.evaluation.values import Evaluation, Floats, Line, Picture, thin

TASKS = ("forecasting",)


def evaluate(y: Floats, p: Floats, steps: Floats, naive: Floats) -> Evaluation:
    """Mean absolute and root mean squared error, and the first against that of the seasonal naive.

    MASE = MAE / MAE of the seasonal naive (Hyndman & Koehler 2006, doi:10.1016/j.ijforecast.2006.03.001).
    They take the scale from training rows; here it is that of the judged rows, so that a season that is
    harder to forecast does not look like a worse model: below 1 is better than the naive.

    Parameters
    ----------
    y, p : (n,) outcomes and predictions in one unit
    steps : (n,) how many steps ahead each row is
    naive : (n,) the seasonal naive's prediction of each row; NaN where it is not known, and such a row is
        left out of the scale

    Returns
    -------
    Evaluation
        figures `mae`, `rmse` (>= 0) in the unit of y; where the naive is known of some row and not without
        error, `mae_naive` in the unit of y, `mase` >= 0 and `gain_over_naive` = 1 - mase; the mean absolute
        error by step, of the predictions and of the naive.

    Raises
    ------
    ModelError
        if outcomes, predictions, steps or naive predictions cannot be judged.
    """
    check_forecasts(y, p, steps, naive)
    mae = float(absolute(y, p).mean())
    figures = {"mae": mae, "rmse": float(np.sqrt(squared(y, p).mean()))}
    known = ~np.isnan(naive)
    scale = float(absolute(y[known], naive[known]).mean()) if known.any() else 0.0
    told = {"mae_naive": scale, "mase": mae / scale, "gain_over_naive": 1.0 - mae / scale} if scale else {}
    lines = [_line("predictions", steps, absolute(y, p))]
    if known.any():
        lines.append(_line("seasonal naive", steps[known], absolute(y[known], naive[known])))
    return Evaluation({**figures, **told}, _picture(lines))


def by_step(steps: Floats, errors: Floats) -> tuple[Floats, Floats]:
    """The steps there are and the mean error of each."""
    found, place, rows = np.unique(steps, return_inverse=True, return_counts=True)
    return found, np.bincount(place, errors) / rows


def _line(label: str, steps: Floats, errors: Floats) -> Line:
    return Line(label, *thin(*by_step(steps, errors)), figure=f"MAE {errors.mean():.4g}", markers=True)


def _picture(lines: list[Line]) -> Picture:
    return Picture(
        title="Mean absolute error by steps ahead",
        x_label="steps ahead",
        y_label="mean absolute error",
        lines=tuple(lines),
        key="upper left",
    )
