"""What a model learns from: rows, labels and what is asked of them. It must not know a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from mlplatform.errors import ModelError

Floats = npt.NDArray[np.float64]
Groups = npt.NDArray[np.int64]
Times = npt.NDArray[np.int64]

Task = Literal["classification", "regression", "clustering", "ranking", "forecasting"]
"""Which question a model answers; `Model.predict` says what a score means in each."""
TASKS: tuple[Task, ...] = get_args(Task)
GROUPED: tuple[Task, ...] = ("ranking", "forecasting")
"""Tasks whose rows belong to groups: the query of a ranking, the series of a forecast."""
TIMED: tuple[Task, ...] = ("forecasting",)
"""Tasks whose rows have a moment their label is of."""


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Rows to learn from.

    X: float64 (rows, features), C-contiguous, NaN = missing, never infinite. A category feature holds
    codes 0 .. k-1, UNKNOWN (-1) or MISSING (-2), where k is its entry in `categories`.
    y: float64 (rows,): 0 or 1 in classification, a number in regression and forecasting, a relevance >= 0 in
    ranking; read by nobody in clustering. names: of X's columns, in order.
    groups: int64 (rows,), the query each row belongs to in ranking, the series (one per airport, say) in
    forecasting; None in every other task. Rows of a group need not be adjacent.
    times: int64 (rows,), microseconds UTC, the moment each row's y is of, in forecasting; None elsewhere.

    In forecasting a row is one step of a forecast: its features are the newest values of the series when
    the forecast was made (lag 1 is the newest), how many steps ahead the row is (1, 2, …), and whatever else
    was known by then; y is the value at the target time. A forecast is the rows of one series and one moment
    of making, in the order of their steps.
    """

    X: Floats
    y: Floats
    names: tuple[str, ...]
    categories: Mapping[str, int] = field(default_factory=dict)
    task: Task = "classification"
    groups: Groups | None = None
    times: Times | None = None

    def __post_init__(self) -> None:
        if self.X.ndim != 2 or self.X.dtype != np.float64 or not self.X.flags.c_contiguous:
            raise ModelError(
                f"got X of {self.X.dtype} {self.X.shape}; allowed: float64 (rows, features), C-contiguous.",
                hint="Use np.ascontiguousarray(X, dtype=np.float64).",
            )
        if self.y.shape != (len(self.X),) or self.y.dtype != np.float64:
            raise ModelError(f"got y of {self.y.dtype} {self.y.shape}; allowed: float64 ({len(self.X)},).")
        if len(self.names) != self.X.shape[1] or len(set(self.names)) != len(self.names):
            raise ModelError(f"got {len(set(self.names))} different names for {self.X.shape[1]} columns.")
        strangers = sorted(set(self.categories) - set(self.names))
        if strangers:
            raise ModelError(f"got categories {strangers} that are not features.")
        if self.task not in TASKS:
            raise ModelError(f"got task {self.task!r}; allowed: {', '.join(TASKS)}.")
        _check_column("groups", self.groups, self.task, GROUPED, len(self.X))
        _check_column("times", self.times, self.task, TIMED, len(self.X))

    @property
    def category_columns(self) -> tuple[int, ...]:
        """Positions in X of the category features."""
        return tuple(i for i, name in enumerate(self.names) if name in self.categories)

    @property
    def queries(self) -> Groups:
        """`groups` of a ranking or a forecast; ModelError in any other task, which has none."""
        if self.groups is None:
            raise ModelError(f"got no groups in {self.task}; only {_listed(GROUPED)} has them.")
        return self.groups

    @property
    def moments(self) -> Times:
        """`times` of a forecast; ModelError in any other task, which has none."""
        if self.times is None:
            raise ModelError(f"got no times in {self.task}; only {_listed(TIMED)} has them.")
        return self.times


_MEANING = {
    "groups": ("the query or the series each row belongs to", "name the column that numbers the groups"),
    "times": ("microseconds UTC, the moment each row's label is of", "name the column of the target time"),
}


def _listed(tasks: Sequence[Task]) -> str:
    return " or ".join(tasks)


def _check_column(
    what: str, values: npt.NDArray[np.int64] | None, task: Task, tasks: Sequence[Task], rows: int
) -> None:
    meaning, remedy = _MEANING[what]
    if task not in tasks:
        if values is not None:
            raise ModelError(f"got {what} in {task}; allowed: {what} in {_listed(tasks)} only.")
    elif values is None:
        raise ModelError(
            f"got no {what} in {task}; allowed: int64 (rows,), {meaning}.",
            hint=f"Rows of {_listed(tasks)} are told apart by their {what}: {remedy}.",
        )
    elif values.shape != (rows,) or values.dtype != np.int64:
        raise ModelError(f"got {what} of {values.dtype} {values.shape}; allowed: int64 ({rows},).")
