"""Batch scores that are kept in memory to answer online: by the key of the question, where declared valid.

It must not score anything, nor decide when a batch score is served.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import polars as pl

from mlplatform.stores.lake import Lake, Table

SCORES = "scores"
MOST_ROWS = 1_000_000
"""Of the newest batch scores; a row takes about 400 bytes."""


class Score(NamedTuple):
    """One batch score: when it holds, and who gave it."""

    as_of_us: int
    score: float
    model: str
    version: int
    digest: str
    feature_set: str


@dataclass(frozen=True)
class Precomputed:
    """Scores by key; `names` are the facts that make a key, times as µs."""

    names: tuple[str, ...]
    valid_us: int
    scores: Mapping[tuple[Any, ...], Score] = field(repr=False)

    def find(self, facts: Mapping[str, Any], as_of_us: int) -> Score | None:
        """The score of the question these facts ask, if there is one that is valid for its time (µs, UTC)."""
        found = self.scores.get(tuple([facts.get(name) for name in self.names]))
        if found is None or abs(as_of_us - found.as_of_us) > self.valid_us:
            return None
        return found


def scores_print(lake: Lake, use_case: str, versions: Sequence[int]) -> object:
    """What tells that there are other batch scores of these versions; StoreError if the lake fails."""
    if not lake.exists(Table(use_case, SCORES)):
        return None
    wanted = ", ".join(map(str, versions))
    found = lake.sql(
        f"SELECT count(*) AS n, max(partition_key) AS newest FROM {use_case}.{SCORES} "
        f"WHERE version IN ({wanted})"
    )
    return found.row(0)


def precomputed(
    lake: Lake, use_case: str, key: Sequence[str], versions: Sequence[int], valid_minutes: float
) -> Precomputed | None:
    """The newest batch scores of these versions; None where there are none.

    As far back from the newest one as a score is valid, at least a day, and at most `MOST_ROWS`. Of several
    scores of a key that of the highest version counts.

    Raises
    ------
    StoreError
        if the lake cannot be read.
    """
    table = Table(use_case, SCORES)
    days = lake.partitions(table) if lake.exists(table) else []
    if not days:
        return None
    reach = max(timedelta(minutes=valid_minutes), timedelta(days=1))
    first = f"{datetime.fromisoformat(days[-1]) - reach:%Y-%m-%d}"
    rows = lake.read(table, first=first, columns=[*key, "as_of", *Score._fields[1:]])
    rows = rows.filter(pl.col("version").is_in(list(versions))).sort("version", "as_of").tail(MOST_ROWS)
    times = [name for name, kind in rows.schema.items() if isinstance(kind, pl.Datetime)]
    rows = rows.with_columns(pl.col(times).dt.timestamp("us"))
    keys = zip(*(rows[name].to_list() for name in key), strict=True)
    told = zip(*(rows[name].to_list() for name in ("as_of", *Score._fields[1:])), strict=True)
    scores = {at: Score(*each) for at, each in zip(keys, told, strict=True)}
    valid_us = int(valid_minutes * 60_000_000)
    return Precomputed(tuple(key), valid_us, scores) if scores else None
