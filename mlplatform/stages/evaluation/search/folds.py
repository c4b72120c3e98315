"""Folds of a search: rolling origins within training rows, whole days at a time.

Rolling-origin evaluation as `segregation/splits/rolling_origin.py` has it. It must be given training rows
only; dictionaries and target rates are fitted on the earlier rows of each fold, never on those it judges.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from mlplatform.errors import ConfigurationError
from mlplatform.stages.preparation.declarations import FeatureSet
from mlplatform.stages.preparation.fitted import FittedFeatureSet, fit
from mlplatform.stages.segregation.splits import rolling_origin
from mlplatform.stages.segregation.splits._draw import drawn
from mlplatform.stages.training.training_set import Floats, TrainingSet

AsSet = Callable[[FittedFeatureSet, pl.DataFrame], TrainingSet]
Masks = tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class Fold:
    """Rows to learn from, and later ones to judge by: X (rows, features) and their labels y (rows,)."""

    training: TrainingSet
    X: Floats
    y: Floats


def sample(days: pl.Series, share: float, seed: int) -> pl.Series:
    """Whether each row's day is among a drawn `share` of the days, at least one; the same for equal days.

    Whole days, because rows of one day resemble each other: half of each day is not half of the knowledge.
    """
    known = days.unique().sort().alias("day").to_frame()
    order = list(drawn(known, ["day"], seed, " search"))
    kept = known["day"][order[: max(1, round(share * known.height))]]
    return days.is_in(kept.implode())


def windows(days: pl.Series, folds: int) -> list[Masks]:
    """Which rows each fold learns from and which it judges, the earliest fold first.

    The later half of the time is cut into `folds` windows of equal length; a fold learns from every row
    before its window and judges those in it.

    Parameters
    ----------
    days: of each row, Date or String YYYY-MM-DD.

    Raises
    ------
    ConfigurationError
        if a fold would have no rows on one of its sides.
    """
    frame = days.alias("day").to_frame()
    length, origin = _last_window(days, folds)
    told = {"time": "day", "as_of": origin, "folds": folds, "validation": f"{length}d"}
    found = []
    for fold in range(folds):
        part = rolling_origin.split(frame, fold=fold, **told)  # type: ignore[arg-type]
        sides = tuple((part == side).fill_null(False).to_numpy() for side in ("train", "validation"))
        if not all(side.any() for side in sides):
            raise _too_few(days, folds)
        found.append((sides[0], sides[1]))
    return found


def of_rows(rows: pl.DataFrame, features: FeatureSet, folds: int, as_set: AsSet) -> list[Fold]:
    """Folds of training rows, with the feature set fitted anew for each on what it learns from.

    Parameters
    ----------
    rows: columns `day`, `label` and the features. as_set: what makes a training set of a fitted feature set
        and the rows it was fitted on.

    Raises
    ------
    ConfigurationError
        as `windows`.
    """
    made = []
    for learned, judged in windows(rows["day"], folds):
        past, later = rows.filter(pl.Series(learned)), rows.filter(pl.Series(judged))
        fitted = fit(features, past, past["label"])
        made.append(Fold(as_set(fitted, past), fitted.matrix(later), _labels(later)))
    return made


def of_training_set(training: TrainingSet, days: pl.Series, folds: int) -> list[Fold]:
    """Folds of a training set of any task; `days` (rows,) has the day of each row."""
    return [
        Fold(_only(training, learned), np.ascontiguousarray(training.X[judged]), training.y[judged])
        for learned, judged in windows(days, folds)
    ]


def _only(training: TrainingSet, rows: npt.NDArray[np.bool_]) -> TrainingSet:
    """These rows of everything that has a value per row."""
    values = {field.name: getattr(training, field.name) for field in fields(training)}
    chosen: dict[str, Any] = {
        name: value[rows] for name, value in values.items() if isinstance(value, np.ndarray)
    }
    return replace(training, **chosen)


def _labels(rows: pl.DataFrame) -> Floats:
    return rows["label"].cast(pl.Float64).to_numpy()


def _last_window(days: pl.Series, folds: int) -> tuple[int, date]:
    """Days in a window, and the first day of the last one."""
    first, last = _date(days.min()), _date(days.max())
    length = ((last - first).days + 1) // (2 * folds)
    if length < 1:
        raise _too_few(days, folds)
    return length, last - timedelta(days=length - 1)


def _date(day: object) -> date:
    return day if isinstance(day, date) else date.fromisoformat(str(day))


def _too_few(days: pl.Series, folds: int) -> ConfigurationError:
    return ConfigurationError(
        f"got {len(days)} rows of {days.n_unique()} days for {folds} folds; "
        "allowed: folds that each have rows before and in their window.",
        hint="Declare fewer folds or a larger share of rows in `search`, or train on a longer window.",
    )
