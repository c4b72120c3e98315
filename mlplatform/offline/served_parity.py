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
from mlplatform.offline.own_features import tables
from mlplatform.stages.preparation.batch import compute
from mlplatform.stages.preparation.declarations import FeatureSet
from mlplatform.stages.preparation.fitted import FittedFeatureSet
from mlplatform.stages.training.candidate import open_model
from mlplatform.stages.training.contract import Floats
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.lake import Lake
from mlplatform.stores.served import SERVED, column_of

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
    matrix = fitted.matrix(_features(declared, lake, fitted.feature_set, rows))
    _compare(rows, fitted.names, matrix, open_model(candidate).predict(matrix), found)


def _features(declared: Declared, lake: Lake, feature_set: FeatureSet, rows: pl.DataFrame) -> pl.DataFrame:
    """The features of what was asked, from the rows the lake has now."""
    spine = feature_set.spine
    # A key of features must have one type in all tables: that of the cleaned one.
    stored = lake.read(declared.table(spine.table), columns=list(spine.facts), partitions=[]).schema
    facts = rows.select(pl.col(column_of(name)).cast(stored[name]).alias(name) for name in spine.facts)
    # A key that is no fact names a row for people; no feature reads it.
    unknown = [name for name in spine.key if name not in spine.facts]
    asked = facts.with_columns(pl.int_range(pl.len()).alias(name) for name in unknown)
    begin, end = rows["as_of"].min(), rows["as_of"].max()
    assert isinstance(begin, datetime)
    assert isinstance(end, datetime)
    return compute(feature_set, asked, tables(declared, lake, feature_set, begin, end))


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
