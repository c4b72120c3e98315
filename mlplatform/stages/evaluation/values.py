"""What an evaluator gets and gives: checked labels and scores in, figures and a picture's data out.

It must not draw (pictures.py does) and must not choose a model (champion.py does).
"""

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from mlplatform.errors import ModelError

Floats = NDArray[np.float64]

MAX_POINTS = 300
"""Points of a curve that are kept: finer than a screen shows, small enough to be saved with each model."""


class Line(msgspec.Struct, frozen=True):
    """One curve of a picture: points (x, y) of equal count, and `figure`, the text beside its label."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    figure: str = ""
    markers: bool = False


class Bar(msgspec.Struct, frozen=True):
    """One bar of a picture; `text` is written at its end."""

    label: str
    value: float
    text: str = ""


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """The data of a picture, as JSON-able values: either `lines` or `bars`.

    `references` are drawn thin and grey (chance, perfect calibration, a rule of thumb);
    `ticks` replace the numbers of the x axis; `limits` are (x low, x high, y low, y high).
    """

    title: str
    x_label: str
    y_label: str = ""
    lines: tuple[Line, ...] = ()
    bars: tuple[Bar, ...] = ()
    references: tuple[Line, ...] = ()
    ticks: tuple[tuple[float, str], ...] = ()
    limits: tuple[float, float, float, float] | None = None
    key: str = "lower right"


class Evaluation(msgspec.Struct, frozen=True):
    """What one evaluator says: `figures` by name (finite), and perhaps a picture."""

    figures: dict[str, float]
    picture: Picture | None = None


def check(y: Floats, p: Floats) -> None:
    """Refuse labels and scores that no binary evaluator can judge.

    Parameters
    ----------
    y : (n,) labels, each 0 or 1, both present
    p : (n,) probabilities of label 1, finite, within [0, 1]

    Raises
    ------
    ModelError
        saying what was got and where.
    """
    same_length(y, p)
    _check_scores(p)
    _check_labels(y)


def same_length(y: Floats, p: Floats) -> None:
    """Refuse labels and scores that are not two columns of one length."""
    if y.ndim != 1 or y.shape != p.shape:
        raise _refusal(
            f"got labels of shape {y.shape} and scores of shape {p.shape}; "
            "both must be one column of equal length."
        )


def thin(x: Floats, y: Floats, points: int = MAX_POINTS) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """At most `points` points of the curve, first and last kept, evenly spaced along its drawn length."""
    if len(x) <= points:
        return tuple(x.tolist()), tuple(y.tolist())
    way = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    kept = np.unique(np.searchsorted(way, np.linspace(0.0, way[-1], points)))
    kept[-1] = len(x) - 1
    return tuple(x[kept].tolist()), tuple(y[kept].tolist())


def finite(figures: dict[str, float], who: str) -> dict[str, float]:
    """The figures as plain floats; a figure that is not finite is an error, never a result."""
    wrong = sorted(name for name, value in figures.items() if not math.isfinite(value))
    if wrong:
        raise ModelError(
            f"evaluator {who!r} gave {wrong[0]} = {figures[wrong[0]]}; a figure is a finite number.",
            hint="Leave out a figure that is not defined for these rows.",
        )
    return {name: float(value) for name, value in figures.items()}


def _check_scores(p: Floats) -> None:
    wrong = np.flatnonzero(~((p >= 0.0) & (p <= 1.0)))
    if len(wrong):
        raise _refusal(
            f"got {len(wrong)} of {len(p)} scores outside [0, 1], the first {p[wrong[0]]} in row {wrong[0]}."
        )


def _check_labels(y: Floats) -> None:
    wrong = np.flatnonzero(~((y == 0.0) | (y == 1.0)))
    if len(wrong):
        raise _refusal(
            f"got {len(wrong)} of {len(y)} labels that are neither 0 nor 1, "
            f"the first {y[wrong[0]]} in row {wrong[0]}."
        )
    positives = int(np.count_nonzero(y))
    if positives in (0, len(y)):
        raise _refusal(f"got {len(y)} rows, {positives} of them labelled 1; both classes must be present.")


def _refusal(message: str) -> ModelError:
    return ModelError(
        f"cannot evaluate: {message}",
        hint="Evaluate rows whose outcome is known, over a window long enough to hold both outcomes, "
        "with the probabilities the model gives.",
    )
