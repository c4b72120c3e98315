"""Log loss and Brier score: one number each for order and calibration together. Lower is better.

It must not draw: neither figure has a curve.
"""

import numpy as np

from mlplatform.stages.evaluation.values import Evaluation, Floats, check

SMALLEST = float(np.finfo(np.float64).eps)
"""Scores are clipped to [SMALLEST, 1 - SMALLEST] as in scikit-learn: one wrong score of 0 stays finite."""


def evaluate(y: Floats, p: Floats) -> Evaluation:
    """Mean negative log likelihood in nats, and mean squared error of the probability.

    Both are proper scores: the true probabilities are the best answer (Gneiting & Raftery 2007,
    doi:10.1198/016214506000001437; Brier 1950).

    Parameters
    ----------
    y, p : (n,) labels 0/1 and probabilities of label 1

    Returns
    -------
    Evaluation
        figures `log_loss` (>= 0, nats) and `brier` in [0, 1].

    Raises
    ------
    ModelError
        if labels or scores cannot be judged.
    """
    check(y, p)
    clipped = np.clip(p, SMALLEST, 1.0 - SMALLEST)
    log_loss = -np.mean(y * np.log(clipped) + (1.0 - y) * np.log1p(-clipped))
    return Evaluation({"log_loss": float(log_loss), "brier": float(np.mean((p - y) ** 2))})
