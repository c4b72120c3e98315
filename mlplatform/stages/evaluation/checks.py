"""Refusals of rows that an evaluator other than a binary one cannot judge (values.check has the binary one).

It must not mend a row: what is missing or infinite is named with its place.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlplatform.errors import ModelError
from mlplatform.stages.evaluation.values import Floats, same_length

Groups = NDArray[Any]
"""Per row the id of what it is an alternative for: whole numbers or texts."""


def check_numbers(y: Floats, p: Floats) -> None:
    """Refuse outcomes and predictions that are not two finite columns of equal, positive length.

    Raises
    ------
    ModelError
        saying what was got and where.
    """
    same_length(y, p)
    if not len(y):
        raise _refusal("got 0 rows; at least one is needed.")
    _check_finite("outcomes", y)
    _check_finite("predictions", p)


def check_clusters(p: Floats, X: Floats) -> None:
    """Refuse cluster numbers p (n,) that are not whole, or fewer than two, and X (n, features) not finite.

    Raises
    ------
    ModelError
        saying what was got and where.
    """
    if p.ndim != 1 or X.ndim != 2 or len(X) != len(p):
        raise _refusal(
            f"got clusters of shape {p.shape} and features of shape {X.shape}; "
            "both must be of equal length, the clusters one column."
        )
    _check_finite("clusters", p)
    _check_whole(p)
    if len(np.unique(p)) < 2:
        raise _refusal(f"got {len(p)} rows in {len(np.unique(p))} cluster; at least two must be present.")
    _check_finite("features", X)


def check_groups(y: Floats, p: Floats, groups: Groups) -> None:
    """Refuse relevances y that are negative or not finite, scores that are not finite, groups not per row.

    Raises
    ------
    ModelError
        saying what was got and where.
    """
    check_numbers(y, p)
    if groups.shape != y.shape:
        raise _refusal(
            f"got labels of shape {y.shape} and group ids of shape {groups.shape}; "
            "both must be one column of equal length."
        )
    wrong = np.flatnonzero(y < 0.0)
    if len(wrong):
        raise ModelError(
            f"cannot evaluate: got {len(wrong)} of {len(y)} relevances below 0, "
            f"the first {y[wrong[0]]} in row {wrong[0]}.",
            hint="Where less is better, give how much less than the worst of the group it is.",
        )


def check_worth(y: Floats, worth: Floats) -> None:
    """Refuse what rows are worth unless it is one column of their length, each finite or not known (NaN).

    Raises
    ------
    ModelError
        saying what was got and where.
    """
    _check_known("worths", y, worth)


def check_forecasts(y: Floats, p: Floats, steps: Floats, naive: Floats) -> None:
    """Refuse outcomes, predictions and steps that are not finite, and naive predictions that are infinite.

    Raises
    ------
    ModelError
        saying what was got and where.
    """
    check_numbers(y, p)
    _check_known("steps", y, steps)
    _check_finite("steps", steps)
    _check_known("naive predictions", y, naive)


def _check_known(what: str, y: Floats, values: Floats) -> None:
    """One column as long as y, each value finite or NaN."""
    if values.shape != y.shape:
        raise _refusal(
            f"got labels of shape {y.shape} and {what} of shape {values.shape}; "
            "both must be one column of equal length."
        )
    _check_finite(what, np.where(np.isnan(values), 0.0, values))


def _check_finite(what: str, values: Floats) -> None:
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        place = tuple(int(at) for at in wrong[0])
        column = f" column {place[1]}" if len(place) > 1 else ""
        raise _refusal(
            f"got {len(wrong)} of {values.size} {what} that are not finite, the first {values[place]} in "
            f"row {place[0]}{column}."
        )


def _check_whole(p: Floats) -> None:
    wrong = np.flatnonzero(p != np.floor(p))
    if len(wrong):
        raise _refusal(
            f"got {len(wrong)} of {len(p)} clusters that are no whole numbers, "
            f"the first {p[wrong[0]]} in row {wrong[0]}."
        )


def _refusal(message: str) -> ModelError:
    return ModelError(
        f"cannot evaluate: {message}",
        hint="Evaluate rows whose outcome is known, with what the model gives for each.",
    )
