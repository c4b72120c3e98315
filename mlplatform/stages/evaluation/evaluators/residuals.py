"""Residuals by prediction: whether a predicted 10 comes out as 10 on average, at every height.

It must not measure their size (regression_errors.py does).
"""

import numpy as np

from mlplatform.stages.evaluation.checks import check_numbers
from mlplatform.stages.evaluation.values import Evaluation, Floats, Line, Picture

TASKS = ("regression", "forecasting")
BINS = 10
"""Groups of about equal size, by prediction."""


def evaluate(y: Floats, p: Floats) -> Evaluation:
    """Mean residual (outcome minus prediction) in each tenth of the predictions.

    Parameters
    ----------
    y, p : (n,) outcomes and predictions in one unit

    Returns
    -------
    Evaluation
        figure `largest_bias`, the largest absolute mean residual of a tenth, in the unit of y; the mean
        residual against the mean prediction (the residual plot of Cook & Weisberg 1982, in tenths).

    Raises
    ------
    ModelError
        if outcomes or predictions cannot be judged.
    """
    check_numbers(y, p)
    predicted, residual = by_prediction(y, p)
    largest = float(np.max(np.abs(residual)))
    line = Line(
        "mean residual",
        tuple(predicted.tolist()),
        tuple(residual.tolist()),
        figure=f"at most {largest:.4g}",
        markers=True,
    )
    return Evaluation({"largest_bias": largest}, _picture(line))


def by_prediction(y: Floats, p: Floats) -> tuple[Floats, Floats]:
    """Mean prediction and mean residual of each group that holds rows, low predictions first."""
    # Equal predictions fall into one group, so that the order of the rows does not matter.
    edges = np.unique(np.quantile(p, np.arange(1, BINS) / BINS))
    place = np.searchsorted(edges, p, side="right")
    rows = np.bincount(place, minlength=len(edges) + 1)
    held = rows > 0
    means = (np.bincount(place, values, len(edges) + 1)[held] / rows[held] for values in (p, y - p))
    predicted, residual = means
    return predicted, residual


def _picture(line: Line) -> Picture:
    return Picture(
        title="Residuals by prediction (tenths)",
        x_label="mean prediction",
        y_label="mean outcome minus prediction",
        lines=(line,),
        references=(Line("no bias", (line.x[0], line.x[-1]), (0.0, 0.0)),),
        key="upper left",
    )
