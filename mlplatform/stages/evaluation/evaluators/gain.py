"""Cumulative gain and lift: how many of the positives are found by looking at the highest scores first.

It must not say how many rows to look at: that is a question of cost.
"""

import numpy as np

from mlplatform.stages.evaluation.evaluators._counts import hits_and_false_alarms
from mlplatform.stages.evaluation.values import Evaluation, Floats, Line, Picture, check, thin

TASKS = ("classification",)
TOP = 0.1
"""The decile that the figures are about."""
CHANCE = Line("chance", (0.0, 1.0), (0.0, 1.0))


def evaluate(y: Floats, p: Floats) -> Evaluation:
    """Share of the positives among the tenth of the rows with the highest scores, and the lift over chance.

    The curve is straight across rows of equal score: what a choice among them at random finds on average
    (Berry & Linoff 1999; the gain curve of Vuk & Curk 2006).

    Parameters
    ----------
    y, p : (n,) labels 0/1 and probabilities of label 1

    Returns
    -------
    Evaluation
        figures `top_decile_gain` in [0, 1] and `top_decile_lift` = gain / 0.1; a model without skill has a
        lift of 1. The curve.

    Raises
    ------
    ModelError
        if labels or scores cannot be judged.
    """
    check(y, p)
    hits, alarms = hits_and_false_alarms(y, p)
    looked_at = np.append(0.0, (hits + alarms) / len(y))
    found = np.append(0.0, hits / hits[-1])
    gain = float(np.interp(TOP, looked_at, found))
    line = Line("gain", *thin(looked_at, found), figure=f"lift {gain / TOP:.2f}")
    return Evaluation({"top_decile_gain": gain, "top_decile_lift": gain / TOP}, _picture(line))


def _picture(line: Line) -> Picture:
    return Picture(
        title="Cumulative gain (lift in the top tenth)",
        x_label="share of the rows, highest scores first",
        y_label="share of the positives found",
        lines=(line,),
        references=(CHANCE,),
        limits=(0.0, 1.0, 0.0, 1.0),
    )
