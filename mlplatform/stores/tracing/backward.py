"""From scores back to the deliveries their rows came from, many at a time.

What is exact is exact: the rows that a feature's window holds are read again, by key and time. What is only a
bound says so in `bounds`. It must not change anything, nor repair what it finds missing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, Self

import polars as pl

from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import NotFound
from mlplatform.stores.served import SERVED
from mlplatform.stores.tracing import told
from mlplatform.stores.tracing.found import ID, Found, find
from mlplatform.stores.tracing.origin import Origin, Trained
from mlplatform.stores.tracing.reading import TrailLake
from mlplatform.stores.tracing.rows import Question, look
from mlplatform.stores.tracing.scored_before import batch_scores

A_LOOK = 1_000
"""Scores whose rows are looked for together: of one candidate, neighbours in time."""

Reads = Callable[[str], Mapping[str, tuple[str, ...]]]
"""Use case → data set → the data sets that its cleaning reads, as declared."""


def nothing_read(use_case: str) -> Mapping[str, tuple[str, ...]]:
    """No declaration is at hand."""
    return {}


class Tracer:
    """Traces scores of a deployment; close it, or use it in a `with` block.

    Parameters
    ----------
    reads : says what cleaning joins a data set with; without it those batches are not named
    """

    def __init__(self, settings: Settings, reads: Reads = nothing_read) -> None:
        self._settings, self._reads = settings, reads
        self._lake = TrailLake(settings.lake_catalog, settings.lake_data)
        self._origins: dict[str, Origin] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the lake's connections."""
        self._lake.close()

    def one(self, id: str) -> dict[str, Any]:
        """The trail of one score; see `many`.

        Raises
        ------
        NotFound
            if there is no score of this id, or no lake yet.
        StoreError
            if a store cannot be read.
        """
        (trail,) = self.many([id])
        if not trail["use_case"]:
            raise NotFound(
                f"no score has the id {id!r}.",
                hint="An answer names its `prediction_id`; it is in the lake a few seconds later.",
            )
        return trail

    def many(self, ids: Iterable[str]) -> Iterator[dict[str, Any]]:
        """The trail of each of these scores, in no promised order; an id twice is traced once.

        Yields
        ------
        prediction_id, use_case, stored_in, score, answer (how and when it was answered), version, digest,
        release (who, why, when), candidate, evaluation, split, feature_set, row, features (value, what it is,
        rows and batches that fed it), batches, files, proof (what came out again to the bit), bounds, notes,
        missing (sentences) and complete (nothing is missing).

        Raises
        ------
        NotFound
            if there is no lake yet.
        StoreError
            if a store cannot be read.
        """
        wanted = dict.fromkeys(ids)
        for found in find(self._lake, list(wanted)):
            for rows in _neighbours(found.rows):
                for trail in self._of(found, rows):
                    wanted.pop(trail[ID], None)
                    yield trail
        yield from (told.unknown(id) for id in wanted)

    def origin(self, use_case: str) -> Origin:
        """What is known of a use case."""
        if use_case not in self._origins:
            reads = self._reads(use_case)
            self._origins[use_case] = Origin(use_case, self._lake, self._settings, reads)
        return self._origins[use_case]

    def _of(self, found: Found, rows: pl.DataFrame) -> Iterator[dict[str, Any]]:
        """The trails of scores of one candidate and link."""
        origin, digest = self.origin(found.use_case), rows["digest"][0] or ""
        trained: Trained | str = origin.trained(digest) if digest else "no model was asked"
        questions: Sequence[Question] = [Question() for _ in range(rows.height)]
        if isinstance(trained, Trained):
            if found.table == SERVED and rows["link"][0] == "precomputed":
                questions = batch_scores(origin, trained, rows)
            else:
                questions = look(origin, trained, found.table, rows)
        for row, question in zip(rows.iter_rows(named=True), questions, strict=True):
            yield told.trail(origin, found, row, trained, question)


def trace(settings: Settings, id: str, reads: Reads = nothing_read) -> dict[str, Any]:
    """The trail of one score; see `Tracer`.

    Raises
    ------
    NotFound
        if there is no score of this id, or no lake yet.
    StoreError
        if a store cannot be read.
    """
    with closing(Tracer(settings, reads)) as tracer:
        return tracer.one(id)


def _neighbours(rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Rows of one candidate and link at a time, in the order of their questions."""
    by = [name for name in ("digest", "link") if name in rows.columns]
    for group in rows.sort("as_of").partition_by(by, maintain_order=True):
        for start in range(0, group.height, A_LOOK):
            yield group.slice(start, A_LOOK)
