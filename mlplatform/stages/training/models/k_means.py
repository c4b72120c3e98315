"""k-means: fitted by scikit-learn, kept as the centres; a row belongs to the nearest one.

A distance is the sum of one square per column in a fixed order. It must not use |x|² - 2xc + |c|², as
libraries do: a matrix product rounds one row and many rows differently, and near a border that is another
cluster.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from mlplatform.errors import ModelError
from mlplatform.stages.training import parameters
from mlplatform.stages.training.contract import Floats, Model, Task, TrainingSet, check_served
from mlplatform.stages.training.models import _centres, _design
from mlplatform.stages.training.models._numbers import spaced

TASKS: tuple[Task, ...] = ("clustering",)


class Parameters(msgspec.Struct, frozen=True):
    """What defs.yaml may say; the meaning is scikit-learn's."""

    n_clusters: Annotated[int, msgspec.Meta(ge=2, le=1_000)] = 8
    n_init: Annotated[int, msgspec.Meta(ge=1, le=100)] = 4
    """Starts, of which the one with the least squared distance is kept."""
    max_iter: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 300
    max_rows: Annotated[int, msgspec.Meta(ge=100)] = 50_000
    """With more rows, this many evenly spaced ones are fitted: centres are means, which need no more."""
    max_levels: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 30
    """Most frequent codes of a category with a column of their own; the rest share one."""
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 0


class Saved(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="k_means", tag_field="kind"):
    """The content of model.json; `columns[i]` belongs to `names[i]`, `centres` (clusters, design columns)."""

    names: tuple[str, ...]
    columns: list[_design.Column]
    centres: list[list[float]]

    def __post_init__(self) -> None:
        width = sum(column.width for column in self.columns)
        if len(self.columns) != len(self.names) or not self.centres:
            raise ValueError("columns or centres are absent")
        if any(len(centre) != width for centre in self.centres):
            raise ValueError("a centre has another width than the columns")


def build(**params: object) -> "KMeansEstimator":
    """An estimator with these `Parameters`; ConfigurationError for any other."""
    return KMeansEstimator(parameters.read("k_means", params, Parameters))


def load(files: Mapping[str, bytes]) -> Model:
    """The model saved in `files`."""
    return KMeans(parameters.decode("k_means", files, Saved))


@dataclass(frozen=True)
class KMeansEstimator:
    """Median impute, standardise, one-hot; then Lloyd's algorithm, with one thread as its sums need order."""

    params: Parameters

    def fit(self, training: TrainingSet) -> Model:
        """The centres of least squared distance to the rows of `training`, numbered by their coordinates.

        The number k-means gives a cluster is chance; sorted centres give similar data similar numbers.
        """
        check_served("k_means", TASKS, training)
        rows = spaced(len(training.X), self.params.max_rows)
        columns = _columns(training, rows, self.params.max_levels)
        design = _design.matrix(training.X[rows], columns)
        if len(design) < self.params.n_clusters:
            raise self._too_few(len(design))
        solver = self._fitted(np.ascontiguousarray(design))
        centres = solver.cluster_centers_
        order = np.lexsort(centres.T[::-1])
        return KMeans(Saved(training.names, columns, centres[order].tolist()))

    def _fitted(self, design: Floats) -> Any:
        from sklearn.cluster import KMeans as Solver
        from sklearn.exceptions import ConvergenceWarning

        given = msgspec.structs.asdict(self.params)
        chosen = {name: given[name] for name in ("n_clusters", "n_init", "max_iter")}
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # said by the error below
            solver = Solver(**chosen, random_state=self.params.seed).fit(design)
        different = len(np.unique(solver.labels_))
        if different < self.params.n_clusters:
            raise self._too_few(different)
        return solver

    def _too_few(self, different: int) -> ModelError:
        return ModelError(
            f"k_means: got {different} different rows for {self.params.n_clusters} clusters.",
            hint="Set n_clusters lower, or train on a longer window.",
        )


class KMeans:
    """Fitted centres."""

    def __init__(self, saved: Saved) -> None:
        self._saved = saved
        self._centres = _centres.Centres(saved.columns, saved.centres)

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names in the order of the columns."""
        return self._saved.names

    def predict(self, X: Floats) -> Floats:
        """Numbers 0 .. k-1 (rows,) of the nearest centres of X (rows, features); of equal ones the lowest."""
        return self._centres.nearest(X, self.names)

    def row_scorer(self) -> Callable[[Sequence[float]], float]:
        """`predict` for one row."""
        return self._centres.finder(self.names)

    def files(self) -> dict[str, bytes]:
        """model.json."""
        return {"model.json": msgspec.json.encode(self._saved)}


def _columns(training: TrainingSet, rows: _design.Rows, max_levels: int) -> list[_design.Column]:
    """Without missing indicators: that a value is absent says nothing about what a row is like."""
    found = _design.columns(training, rows, max_levels)
    return [
        msgspec.structs.replace(c, indicator=False) if isinstance(c, _design.NumberColumn) else c
        for c in found
    ]
