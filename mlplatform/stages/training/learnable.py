"""Refuses rows that teach nothing and tasks that a model does not serve; it must not know a model."""

from collections.abc import Sequence

import numpy as np

from mlplatform.errors import ConfigurationError, ModelError
from mlplatform.stages.preparation.fitted import MISSING
from mlplatform.stages.training.training_set import Task, TrainingSet


def check_served(kind: str, tasks: Sequence[Task], training: TrainingSet) -> None:
    """Refuse a task that the model file `kind` does not serve, then rows its task cannot be learned from.

    Raises
    ------
    ConfigurationError
        for a task that is not among `tasks`.
    ModelError
        as `check_learnable`.
    """
    if training.task not in tasks:
        raise ConfigurationError(
            f"{kind}: got task {training.task!r}; allowed: {', '.join(tasks)}.",
            hint=f"Choose a model that serves {training.task}, or correct the task of the use case.",
        )
    check_learnable(training)


def check_learnable(training: TrainingSet) -> None:
    """Refuse rows the task of `training` cannot be learned from.

    Raises
    ------
    ModelError
        for no rows, infinite values, codes out of range; in classification for labels other than 0 and 1 or
        one class only; in regression and forecasting for labels that are not finite or all the same; in
        forecasting for two labels of one moment of a series; in ranking for relevances that are negative or
        not finite, or no group with two different ones. A label that is the same everywhere is refused
        because the constant it teaches would look like a model.
    """
    _CHECKS[training.task](training)
    if np.isinf(training.X).any():
        column = int(np.flatnonzero(np.isinf(training.X).any(axis=0))[0])
        raise ModelError(
            f"feature {training.names[column]!r} holds infinite values.", hint="Spell a missing value NaN."
        )
    for column in training.category_columns:
        _check_codes(training, column)


def _classes(training: TrainingSet) -> None:
    if not np.isin(training.y, (0.0, 1.0)).all():
        raise ModelError("got labels other than 0 and 1.", hint="Leave rows without a label out of training.")
    classes = np.unique(training.y)
    if len(classes) < 2:
        raise ModelError(
            f"got {len(training.y)} training rows with labels {classes.tolist()}; both 0 and 1 are needed.",
            hint="Train on a longer window, or check the label's definition.",
        )


def _numbers(training: TrainingSet) -> None:
    _check_finite(training, "labels")
    if len(training.y) < 2 or (training.y == training.y[0]).all():
        raise ModelError(
            f"got {len(training.y)} training rows with labels {training.y[:1].tolist()}; "
            "at least 2 different labels are needed.",
            hint="Train on a longer window, or check the label's definition.",
        )


def _series(training: TrainingSet) -> None:
    _numbers(training)
    order = np.lexsort((training.moments, training.queries))
    series, times = training.queries[order], training.moments[order]
    twice = np.flatnonzero((series[1:] == series[:-1]) & (times[1:] == times[:-1]))
    if len(twice):
        raise ModelError(
            f"got {len(twice)} times two labels of one moment: series {series[twice[0]]}, "
            f"time {times[twice[0]]} (microseconds UTC).",
            hint="Forecasts that overlap teach a moment twice: train on one forecast per moment of a series.",
        )


def _points(training: TrainingSet) -> None:
    if not len(training.X):
        raise ModelError("got no training rows to cluster.", hint="Train on a longer window.")


def _relevances(training: TrainingSet) -> None:
    _check_finite(training, "relevance labels")
    if (training.y < 0).any():
        raise ModelError(
            f"got relevance labels down to {training.y.min()}; allowed: 0 (of no use) and above.",
            hint="Shift or turn the label: the row that should come first has the highest relevance.",
        )
    if not _one_group_differs(training):
        raise ModelError(
            f"got {len(training.y)} training rows without a group that holds 2 different relevance labels.",
            hint="Check the column of the groups: one row per group leaves nothing to rank.",
        )


def _one_group_differs(training: TrainingSet) -> bool:
    order = np.lexsort((training.y, training.queries))
    groups, y = training.queries[order], training.y[order]
    return bool(((groups[1:] == groups[:-1]) & (y[1:] != y[:-1])).any())


def _check_finite(training: TrainingSet, what: str) -> None:
    if not np.isfinite(training.y).all():
        raise ModelError(
            f"got {what} that are not finite numbers.", hint="Leave rows without a label out of training."
        )


def _check_codes(training: TrainingSet, column: int) -> None:
    name, values = training.names[column], training.X[:, column]
    known = training.categories[name]
    ok = np.isnan(values) | ((values >= MISSING) & (values < known) & (values == np.floor(values)))
    if not ok.all():
        raise ModelError(
            f"category {name!r} holds {values[~ok][0]}; allowed: {MISSING} .. {known - 1}.",
            hint="Encode it with the dictionaries of the fitted feature set.",
        )


_CHECKS = {
    "classification": _classes,
    "regression": _numbers,
    "clustering": _points,
    "ranking": _relevances,
    "forecasting": _series,
}
