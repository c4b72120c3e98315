"""Confusion at the threshold: what is said against what happened, for whoever must decide yes or no.

It must not choose the threshold: the use case's label declares it.
"""

import numpy as np

from mlplatform.errors import ModelError
from mlplatform.stages.evaluation.values import Bar, Evaluation, Floats, Picture, check

TASKS = ("classification",)


def evaluate(y: Floats, p: Floats, threshold: float = 0.5) -> Evaluation:
    """Accuracy, precision, recall and F1 of saying 1 where the score is at least `threshold`.

    Precision = TP / (TP + FP), recall = TP / (TP + FN), F1 = 2 TP / (2 TP + FP + FN) (van Rijsbergen 1979).

    Parameters
    ----------
    y, p : (n,) labels 0/1 and probabilities of label 1
    threshold : within (0, 1)

    Returns
    -------
    Evaluation
        figures `accuracy`, `recall`, `f1` in [0, 1]; `precision` unless nothing is called 1; bars of the
        four counts.

    Raises
    ------
    ModelError
        if labels, scores or the threshold cannot be used.
    """
    check(y, p)
    if not 0.0 < threshold < 1.0:
        raise ModelError(f"got threshold {threshold}; allowed: a number between 0 and 1.")
    table = np.bincount((2 * y + (p >= threshold)).astype(np.intp), minlength=4)
    true_negatives, false_alarms, misses, hits = (int(count) for count in table)
    figures = {
        "accuracy": (hits + true_negatives) / len(y),
        "recall": hits / (hits + misses),
        "f1": 2 * hits / (2 * hits + false_alarms + misses),
    }
    # Without an alarm there is no share of true ones; 0 would say that all were false.
    said = {"precision": hits / (hits + false_alarms)} if hits + false_alarms else {}
    counts = {"hit": hits, "miss": misses, "false alarm": false_alarms, "rightly quiet": true_negatives}
    return Evaluation({**figures, **said}, _picture(counts, threshold))


def _picture(counts: dict[str, int], threshold: float) -> Picture:
    rows = sum(counts.values())
    return Picture(
        title=f"Confusion at threshold {threshold:g}",
        x_label="share of the rows",
        bars=tuple(Bar(name, n / rows, f"{n:,} ({n / rows:.1%})") for name, n in counts.items()),
    )
