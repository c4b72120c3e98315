"""What was served against batch: rows of the table `served` computed again, vectors and scores to the bit.

The batch executor computes the features of the facts that were asked about; the candidate that answered
encodes and scores them. A difference means that the service saw other rows than the lake has now, or computed
otherwise. It must not know Dagster.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from mlplatform.errors import NotFound
from mlplatform.offline.declared import Declared
from mlplatform.offline.served_features import features_of_served
from mlplatform.stages.preparation.fitted import FittedFeatureSet
from mlplatform.stages.training.candidate import open_model
from mlplatform.stages.training.contract import Floats
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.lake import Lake
from mlplatform.stores.served import SERVED

MOST_SHOWN = 20


@dataclass
class Found:
    """How many answers were compared, and which cells and scores differ."""

    answers: int = 0
    cells: int = 0
    cells_different: int = 0
    scores_different: int = 0
    without_candidate: int = 0
    """Answers whose candidate is not in the store any more; they are not compared."""
    different: list[dict[str, Any]] = field(default_factory=list)
    """The first differences: prediction_id, as_of, feature (or `score`), served, batch."""

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not (self.cells_different or self.scores_different)


def look(
    declared: Declared, lake: Lake, candidates: CandidateStore, begin: datetime | None, end: datetime | None
) -> Found:
    """Compare the answers to questions as of `begin` … `end` (both included); None: there are no questions.

    Raises
    ------
    FeatureError
        if their features cannot be computed.
    """
    found, table = Found(), declared.table(SERVED)
    if begin is None or end is None or not lake.exists(table):
        return found
    times = lake.read(table, columns=["as_of"], moments={"as_of": (begin, end)})["as_of"]
    for day in times.dt.truncate("1d").unique().sort().to_list():
        bounds = (max(day, begin), min(day + timedelta(days=1, microseconds=-1), end))
        # Answers of the last links, a batch score or the constant, saw no features.
        rows = lake.read(table, moments={"as_of": bounds}).filter(pl.col("vector").list.len() > 0)
        for of_candidate in rows.partition_by("digest", maintain_order=True):
            _look(declared, lake, candidates, of_candidate, found)
    return found


def _look(
    declared: Declared, lake: Lake, candidates: CandidateStore, rows: pl.DataFrame, found: Found
) -> None:
    try:
        candidate = candidates.get(declared.name, rows["digest"][0])
    except NotFound:
        found.without_candidate += rows.height
        return
    fitted = FittedFeatureSet.from_json(candidate.feature_set)
    matrix = fitted.matrix(features_of_served(declared, lake, fitted.feature_set, rows))
    _compare(rows, fitted.names, matrix, open_model(candidate).predict(matrix), found)


def _compare(rows: pl.DataFrame, names: Sequence[str], matrix: Floats, scores: Floats, found: Found) -> None:
    served = np.array(rows["vector"].to_list(), dtype=np.float64).reshape(rows.height, -1)
    found.answers += rows.height
    found.cells += matrix.size
    cells = np.argwhere(_bits(served) != _bits(matrix))
    wrong = np.flatnonzero(_bits(rows["score"].to_numpy()) != _bits(scores))
    found.cells_different += len(cells)
    found.scores_different += len(wrong)
    for row, column in cells[: MOST_SHOWN - len(found.different)].tolist():
        found.different.append(_shown(rows, row, names[column], served[row, column], matrix[row, column]))
    for row in wrong[: MOST_SHOWN - len(found.different)].tolist():
        found.different.append(_shown(rows, row, "score", rows["score"][row], scores[row]))


def _shown(rows: pl.DataFrame, row: int, feature: str, served: float, batch: float) -> dict[str, Any]:
    return {
        "prediction_id": rows["prediction_id"][row],
        "as_of": f"{rows['as_of'][row]:%Y-%m-%dT%H:%M:%SZ}",
        "feature": feature,
        "served": repr(float(served)),
        "batch": repr(float(batch)),
    }


def _bits(values: Floats) -> Any:
    return np.ascontiguousarray(values, dtype=np.float64).view(np.int64)
