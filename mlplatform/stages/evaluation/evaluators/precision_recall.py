"""Precision and recall: how pure the alarms are at every share of the positives that is found.

It must not choose a threshold: that is the decision of whoever uses the score.
"""

from mlplatform.stages.evaluation.evaluators._counts import average_precision, hits_and_false_alarms
from mlplatform.stages.evaluation.values import Evaluation, Floats, Line, Picture, check, thin

TASKS = ("classification",)


def evaluate(y: Floats, p: Floats) -> Evaluation:
    """Average precision: the sum over distinct scores of (step in recall) x (precision there).

    Parameters
    ----------
    y, p : (n,) labels 0/1 and probabilities of label 1

    Returns
    -------
    Evaluation
        figure `average_precision` in (0, 1], not interpolated (interpolation flatters: Davis & Goadrich 2006,
        doi:10.1145/1143844.1143874); the curve. A model without skill reaches the base rate.

    Raises
    ------
    ModelError
        if labels or scores cannot be judged.
    """
    check(y, p)
    hits, alarms = hits_and_false_alarms(y, p)
    average = average_precision(hits, alarms)
    x, curve = thin(hits / hits[-1], hits / (hits + alarms))
    line = Line("PR", x, curve, figure=f"AP {average:.4f}")
    return Evaluation({"average_precision": average}, _picture(line, float(y.mean())))


def _picture(line: Line, base_rate: float) -> Picture:
    return Picture(
        title="Precision and recall",
        x_label="recall",
        y_label="precision",
        lines=(line,),
        references=(Line(f"base rate {base_rate:.1%}", (0.0, 1.0), (base_rate, base_rate)),),
        limits=(0.0, 1.0, 0.0, 1.0),
        key="upper right",
    )
