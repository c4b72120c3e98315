"""Log loss and Brier score: one number each for order and calibration together. Lower is better.

It must not draw: neither figure has a curve.
"""

from mlplatform.stages.evaluation.evaluators._losses import SMALLEST as SMALLEST
from mlplatform.stages.evaluation.evaluators._losses import log_losses, squared
from mlplatform.stages.evaluation.values import Evaluation, Floats, check

TASKS = ("classification",)


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
    return Evaluation({"log_loss": float(log_losses(y, p).mean()), "brier": float(squared(y, p).mean())})
