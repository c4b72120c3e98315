"""Errors of a predicted number: how large, how spread, and to which side.

It must not look for a pattern in them (residuals.py does).
"""

import numpy as np

from mlplatform.stages.evaluation.checks import check_numbers
from mlplatform.stages.evaluation.evaluators._losses import absolute, squared
from mlplatform.stages.evaluation.metrics import METRICS
from mlplatform.stages.evaluation.values import Evaluation, Floats, Line, Picture, thin

TASKS = ("regression", "forecasting")
NONE = Line("no error", (0.0, 1.0), (0.0, 0.0))


def evaluate(y: Floats, p: Floats) -> Evaluation:
    """Root mean squared error, mean absolute error, mean error and R².

    R² = 1 - sum (y - p)² / sum (y - mean y)² (Kvålseth 1985, doi:10.1080/00031305.1985.10479448, his first).

    Parameters
    ----------
    y, p : (n,) outcomes and predictions in one unit

    Returns
    -------
    Evaluation
        figures `rmse`, `mae` (>= 0) and `mean_error` (prediction minus outcome) in the unit of y; `r2` <= 1
        unless all outcomes are equal; the quantiles of the errors.

    Raises
    ------
    ModelError
        if outcomes or predictions cannot be judged.
    """
    check_numbers(y, p)
    figures = {
        "rmse": float(np.sqrt(squared(y, p).mean())),
        "mae": float(absolute(y, p).mean()),
        "mean_error": float((p - y).mean()),
    }
    explained = METRICS["r2"].of(y, p)
    said = {} if explained is None else {"r2": explained}
    return Evaluation({**figures, **said}, _picture(np.sort(p - y), figures["rmse"]))


def _picture(errors: Floats, rmse: float) -> Picture:
    shares = (np.arange(len(errors)) + 0.5) / len(errors)
    line = Line("errors", *thin(shares, errors), figure=f"RMSE {rmse:.4g}")
    return Picture(
        title="Errors by quantile",
        x_label="share of the rows, lowest error first",
        y_label="prediction minus outcome",
        lines=(line,),
        references=(NONE,),
        key="upper left",
    )
