"""Receiver operating characteristic: how well scores order positives before negatives, whatever their level.

It must not judge whether a score of 0.3 means 30 % (calibration.py does).
"""

import numpy as np

from mlplatform.stages.evaluation.evaluators._counts import area, hits_and_false_alarms
from mlplatform.stages.evaluation.values import Evaluation, Floats, Line, Picture, check, thin

TASKS = ("classification",)
CHANCE = Line("chance", (0.0, 1.0), (0.0, 1.0))


def evaluate(y: Floats, p: Floats) -> Evaluation:
    """Area under the ROC curve by the trapezoid rule, ties counted half.

    Parameters
    ----------
    y, p : (n,) labels 0/1 and probabilities of label 1

    Returns
    -------
    Evaluation
        figure `roc_auc` in [0, 1], the Mann-Whitney probability that a random positive outranks a random
        negative (Hanley & McNeil 1982, doi:10.1148/radiology.143.1.7063747); the curve.

    Raises
    ------
    ModelError
        if labels or scores cannot be judged.
    """
    check(y, p)
    hits, alarms = hits_and_false_alarms(y, p)
    auc = area(hits, alarms)
    share_of_alarms, share_of_hits = (np.append(0.0, counts / counts[-1]) for counts in (alarms, hits))
    x, curve = thin(share_of_alarms, share_of_hits)
    return Evaluation({"roc_auc": auc}, _picture(Line("ROC", x, curve, figure=f"AUC {auc:.4f}")))


def _picture(line: Line) -> Picture:
    return Picture(
        title="ROC curve",
        x_label="false positive rate",
        y_label="true positive rate",
        lines=(line,),
        references=(CHANCE,),
        limits=(0.0, 1.0, 0.0, 1.0),
    )
