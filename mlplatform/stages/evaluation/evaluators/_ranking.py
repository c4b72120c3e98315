"""Counts behind the curves: how many of each class score at or above every distinct score.

It must not import an evaluator; it is no plug-in itself.
"""

import numpy as np
from numpy.typing import NDArray

from mlplatform.stages.evaluation.values import Floats

Counts = NDArray[np.int64]


def hits_and_false_alarms(y: Floats, p: Floats) -> tuple[Counts, Counts]:
    """Cumulated true and false positives, one entry per distinct score from the highest down.

    Rows of equal score stand or fall together, so a tie cannot flatter a model. Counts are integers: the
    figures made of them do not depend on the order of the rows.

    Parameters
    ----------
    y, p : (n,) labels 0/1 and scores

    Returns
    -------
    true positives, false positives : (k,) for k distinct scores; the last entries are the class totals
    """
    order = np.argsort(-p, kind="stable")
    ranked = p[order]
    last_of_tie = np.flatnonzero(np.append(np.diff(ranked) != 0.0, True))
    hits = np.cumsum(y[order].astype(np.int64))[last_of_tie]
    return hits, last_of_tie + 1 - hits
