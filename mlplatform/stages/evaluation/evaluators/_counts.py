"""Counts behind the curves: how many of each class score at or above every distinct score.

It must not import an evaluator; it is no plug-in itself.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlplatform.stages.evaluation.values import Floats

Counts = NDArray[np.int64]


class Ranking(NamedTuple):
    """Rows from the highest score down, and the places in that order at which a run of equal scores ends."""

    order: NDArray[np.intp]
    last_of_tie: NDArray[np.intp]


def ranked(p: Floats) -> Ranking:
    """Scores (n,) sorted once; every count below is made from this.

    Rows of equal score stand or fall together, so a tie cannot flatter a model.
    """
    order = np.argsort(-p, kind="stable")
    return Ranking(order, np.flatnonzero(np.append(np.diff(p[order]) != 0.0, True)))


def hits_and_false_alarms(y: Floats, p: Floats) -> tuple[Counts, Counts]:
    """Cumulated true and false positives, one entry per distinct score from the highest down.

    Counts are integers: the figures made of them do not depend on the order of the rows.

    Parameters
    ----------
    y, p : (n,) labels 0/1 and scores

    Returns
    -------
    true positives, false positives : (k,) for k distinct scores; the last entries are the class totals
    """
    order, last_of_tie = ranked(p)
    hits = np.cumsum(y[order].astype(np.int64))[last_of_tie]
    return hits, last_of_tie + 1 - hits


def area(hits: Counts, alarms: Counts) -> float:
    """Area under the ROC curve by the trapezoid rule, ties counted half; no class is empty."""
    before = np.concatenate([[0], hits[:-1]])
    doubled = int(np.sum(np.diff(alarms, prepend=0) * (hits + before)))
    return doubled / (2 * int(hits[-1]) * int(alarms[-1]))


def average_precision(hits: Counts, alarms: Counts) -> float:
    """Sum over distinct scores of (step in recall) x (precision there); there is a positive."""
    # A resampled day may leave the highest scores without a row: no step in recall, whatever the precision.
    precision = hits / np.maximum(hits + alarms, 1)
    return float(np.sum(np.diff(hits / hits[-1], prepend=0.0) * precision))
