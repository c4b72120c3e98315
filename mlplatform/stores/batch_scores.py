"""Batch scoring: the questions of days, scored by one release into the table `scores`, chunk by chunk.

A chunk is whole days of so many rows that two of them fit into memory: while one is predicted, the next is
read, and the one before gets its ids and is committed. Every commit is whole days, so a run that was killed
is simply run again. It must not know a declaration, Dagster or HTTP: release, candidate and lake say all.

LightGBM takes as many threads as OMP_NUM_THREADS said when it was loaded; set it before.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import msgspec
import polars as pl

from mlplatform.errors import StoreError
from mlplatform.stages.deployment.release import Release
from mlplatform.stages.scoring.score import DEFAULT_THRESHOLD, PredictionIds, answered
from mlplatform.stages.training.candidate import open_model
from mlplatform.stages.training.contract import Floats, Model
from mlplatform.stages.training.output import Output
from mlplatform.stores.asked_rows import Asked, Questions
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.lake import KEY, Lake, Table

SCORES = "scores"
CELLS = 12_000_000
"""Features of one chunk: 96 MB of matrix. A read costs 0.1 s whatever it reads, and rows out of the middle of
a row group cost as much as all of it: so fewer, larger chunks take less time."""
MOST_ROWS = 100_000
"""Rows of one chunk, however few features they have; a day that has more is a chunk of its own."""


class Committed(msgspec.Struct, frozen=True, kw_only=True):
    """Days that are in the lake now."""

    rows: dict[str, int]
    """Per day, in order."""
    score_sum: float
    begin: datetime
    end: datetime
    """First and last time (UTC) of the questions."""


@dataclass(frozen=True)
class Scorer:
    """One release, ready to score days."""

    release: Release
    questions: Questions
    model: Model
    output: Output
    threshold: float

    @classmethod
    def open(cls, release: Release, candidates: CandidateStore, lake: Lake) -> "Scorer":
        """The scorer of a release, after its golden rows have been replayed to the bit.

        Raises
        ------
        MlplatformError
            if the candidate is absent or damaged, or a golden row gets another score.
        """
        candidate = candidates.get(release.use_case, release.digest)
        return cls(
            release=release,
            questions=Questions(lake, release.use_case, candidate.feature_set),
            model=open_model(candidate),
            output=candidate.output,
            threshold=release.figures.get("threshold", DEFAULT_THRESHOLD),
        )

    def rows(self, asked: Asked, scores: Floats) -> pl.DataFrame:
        """The rows of the table `scores`: what is answered online to the same questions, ids and all."""
        release, ids = self.release, PredictionIds(*_identity(self.release)).of
        names = [ids(values, score) for values, score in zip(asked.values(), scores.tolist(), strict=True)]
        return self._answered(asked.rows, scores).with_columns(
            model=pl.lit(release.model),
            version=pl.lit(release.version, pl.Int64),
            digest=pl.lit(release.digest),
            feature_set=pl.lit(release.feature_set_id),
            prediction_id=pl.Series(names, dtype=pl.String),
        )

    def _answered(self, rows: pl.DataFrame, scores: Floats) -> pl.DataFrame:
        if self.output.kind != "ranked_list":
            return answered(rows, self.output, scores, self.threshold)
        # A list is of one day, so that its ranks do not depend on which days are scored together.
        parts, at = [], 0
        for day in rows.partition_by(KEY, maintain_order=True):
            parts.append(answered(day, self.output, scores[at : at + day.height], self.threshold))
            at += day.height
        return pl.concat(parts)


def score_days(
    scorer: Scorer,
    lake: Lake,
    days: Sequence[str],
    *,
    done: Callable[[Committed], object] = lambda committed: None,
    cells: int = CELLS,
    most_rows: int = MOST_ROWS,
) -> None:
    """Score every question of the days (partition keys) and replace these days of `scores`.

    Parameters
    ----------
    done
        is told of every commit, in order of the days; what it raises ends the scoring.
    cells, most_rows
        bounds of a chunk.

    Raises
    ------
    NotFound
        if a table is missing that the model's features are read from.
    StoreError
        if a day has no question, or the lake refuses.
    FeatureError, ModelError
        if the features cannot be computed, or the model fails.
    """
    questions = scorer.questions
    width = max(1, len(questions.fitted.names))
    chunks = _chunks(questions.counts(days), max(1, min(most_rows, cells // width)))
    table = Table(scorer.release.use_case, SCORES)

    def write(chunk: Sequence[str], asked: Asked, scores: Floats) -> Committed:
        rows = scorer.rows(asked, scores)
        lake.write(table, rows, chunk, evolve=True)
        return _committed(rows)

    with ThreadPoolExecutor(1, "read") as reader, ThreadPoolExecutor(1, "write") as writer:
        coming = reader.submit(questions.read, chunks[0])
        writing: Future[Committed] | None = None
        for chunk, following in pairwise([*chunks, None]):
            assert chunk is not None
            asked, matrix = coming.result()
            if following is not None:
                coming = reader.submit(questions.read, following)
            scores = scorer.model.predict(matrix)
            del matrix
            if writing is not None:
                done(writing.result())
            writing = writer.submit(write, chunk, asked, scores)
        assert writing is not None
        done(writing.result())


def _chunks(counts: dict[str, int], most: int) -> list[list[str]]:
    """The days in order, neighbours together as long as they have at most `most` rows."""
    if empty := [day for day, rows in counts.items() if not rows] or ([] if counts else ["no day"]):
        raise StoreError(
            f"no questions to score for {', '.join(empty[:3])}{' and others' if empty[3:] else ''}.",
            hint="Materialise the data of these days first, or ask for days that have data.",
        )
    chunks: list[list[str]] = [[]]
    held = 0
    for day, rows in counts.items():
        if chunks[-1] and held + rows > most:
            chunks.append([])
            held = 0
        chunks[-1].append(day)
        held += rows
    return chunks


def _committed(rows: pl.DataFrame) -> Committed:
    counts = rows.group_by(KEY, maintain_order=True).len()
    begin, end, total = rows.select(
        pl.col("as_of").min(), end=pl.col("as_of").max(), sum=pl.sum("score")
    ).row(0)
    return Committed(rows=dict(counts.iter_rows()), score_sum=total, begin=begin, end=end)


def _identity(release: Release) -> tuple[str, int, str]:
    return release.use_case, release.version, release.digest
