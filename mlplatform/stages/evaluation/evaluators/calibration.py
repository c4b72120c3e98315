"""Calibration: whether a score of 0.3 comes true three times in ten.

It must not look at the order of the scores (roc.py does) and must not mend a model.
"""

import numpy as np

from mlplatform.stages.evaluation.values import Evaluation, Floats, Line, Picture, check

TASKS = ("classification",)
BINS = 15
"""Equal-width bins of [0, 1], the number in Guo et al. 2017."""
PERFECT = Line("perfect", (0.0, 1.0), (0.0, 1.0))


def evaluate(y: Floats, p: Floats) -> Evaluation:
    """Expected calibration error over 15 equal-width bins, and the mean score.

    ECE = sum over bins b of (n_b / n) * |observed rate in b - mean score in b|, bins [k/15, (k+1)/15), the
    last one closed (Naeini et al. 2015; Guo et al. 2017, arXiv:1706.04599, equation 3, for the binary case
    with the score of label 1 in the place of the confidence).

    Parameters
    ----------
    y, p : (n,) labels 0/1 and probabilities of label 1

    Returns
    -------
    Evaluation
        figures `ece` in [0, 1] and `mean_score`; the reliability curve of the bins that hold rows.

    Raises
    ------
    ModelError
        if labels or scores cannot be judged.
    """
    check(y, p)
    rows, score, observed = reliability(y, p)
    ece = float(np.sum(rows / len(p) * np.abs(observed - score)))
    points = tuple(score.tolist()), tuple(observed.tolist())
    line = Line("calibration", *points, figure=f"ECE {ece:.4f}", markers=True)
    return Evaluation({"ece": ece, "mean_score": float(p.mean())}, _picture(line))


def reliability(y: Floats, p: Floats) -> tuple[Floats, Floats, Floats]:
    """Rows, mean score and observed rate of every bin that holds rows, low scores first; each (bins,)."""
    # np.floor(p * 15) can land one bin off at an edge such as 7/15; comparing with the edges cannot.
    edges = np.arange(1, BINS) / BINS
    place = np.searchsorted(edges, p, side="right")
    rows = np.bincount(place, minlength=BINS).astype(np.float64)
    held = rows > 0
    score = np.bincount(place, weights=p, minlength=BINS)[held] / rows[held]
    observed = np.bincount(place, weights=y, minlength=BINS)[held] / rows[held]
    return rows[held], score, observed


def _picture(line: Line) -> Picture:
    return Picture(
        title=f"Calibration ({BINS} equal-width bins)",
        x_label="mean score",
        y_label="observed rate",
        lines=(line,),
        references=(PERFECT,),
        limits=(0.0, 1.0, 0.0, 1.0),
        key="upper left",
    )
