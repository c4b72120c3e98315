"""What a model learns from: rows, labels and what is asked of them. It must not know a model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from mlplatform.errors import ModelError

Floats = npt.NDArray[np.float64]
Groups = npt.NDArray[np.int64]

Task = Literal["classification", "regression", "clustering", "ranking"]
"""Which question a model answers; `Model.predict` says what a score means in each."""
TASKS: tuple[Task, ...] = get_args(Task)


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Rows to learn from.

    X: float64 (rows, features), C-contiguous, NaN = missing, never infinite. A category feature holds
    codes 0 .. k-1, UNKNOWN (-1) or MISSING (-2), where k is its entry in `categories`.
    y: float64 (rows,): 0 or 1 in classification, a number in regression, a relevance >= 0 in ranking; read
    by nobody in clustering. names: of X's columns, in order.
    groups: int64 (rows,), the query each row belongs to, in ranking; None in every other task. Rows of a
    group need not be adjacent.
    """

    X: Floats
    y: Floats
    names: tuple[str, ...]
    categories: Mapping[str, int] = field(default_factory=dict)
    task: Task = "classification"
    groups: Groups | None = None

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
        _check_groups(self.task, self.groups, len(self.X))

    @property
    def category_columns(self) -> tuple[int, ...]:
        """Positions in X of the category features."""
        return tuple(i for i, name in enumerate(self.names) if name in self.categories)

    @property
    def queries(self) -> Groups:
        """`groups` of a ranking; ModelError in any other task, which has none."""
        if self.groups is None:
            raise ModelError(f"got no groups in {self.task}; only a ranking has them.")
        return self.groups


def _check_groups(task: Task, groups: Groups | None, rows: int) -> None:
    if task != "ranking":
        if groups is not None:
            raise ModelError(f"got groups in {task}; allowed: groups in ranking only.")
    elif groups is None:
        raise ModelError(
            "got no groups in ranking; allowed: int64 (rows,), the query each row belongs to.",
            hint="Alternatives are ranked within a group: name the column that numbers the groups.",
        )
    elif groups.shape != (rows,) or groups.dtype != np.int64:
        raise ModelError(f"got groups of {groups.dtype} {groups.shape}; allowed: int64 ({rows},).")
