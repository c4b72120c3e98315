"""What one row costs: the losses whose means are figures.

It must not take a mean: evaluators take one over all rows, slices over some, intervals over resampled days.
"""

import numpy as np

from mlplatform.stages.evaluation.values import Floats

SMALLEST = float(np.finfo(np.float64).eps)
"""Scores are clipped to [SMALLEST, 1 - SMALLEST] as in scikit-learn: one wrong score of 0 stays finite."""


def log_losses(y: Floats, p: Floats) -> Floats:
    """Negative log likelihood of each label 0/1 in nats: (n,), at least 0."""
    clipped = np.clip(p, SMALLEST, 1.0 - SMALLEST)
    losses: Floats = -(y * np.log(clipped) + (1.0 - y) * np.log1p(-clipped))
    return losses


def squared(y: Floats, p: Floats) -> Floats:
    """Squared error of each row: (n,)."""
    losses: Floats = (p - y) ** 2
    return losses


def absolute(y: Floats, p: Floats) -> Floats:
    """Absolute error of each row: (n,)."""
    return np.abs(p - y)
