"""The leakage check: ask some questions again in a world where nothing later has happened.

For each sampled question every column is emptied that, by the declaration (`known` of its data set and the
sources' clocks), was not known at its time; then its features are computed again. A difference means that a
feature saw the future.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from mlplatform.offline.declared import Declared
from mlplatform.stages.preparation.batch import compute
from mlplatform.stages.preparation.durations import microseconds

QUESTIONS = 12


@dataclass(frozen=True)
class Found:
    """How much was compared, and which cells differ (feature, time of the question)."""

    asked: int
    cells: int
    different: list[dict[str, str]]


def look(declared: Declared, rows: pl.DataFrame, tables: Mapping[str, pl.DataFrame]) -> Found:
    """Ask evenly spread questions of `rows` (features as computed) again, without what came later."""
    feature_set = declared.feature_set
    ordered = rows.sort("as_of", *feature_set.spine.key)
    sample = ordered.gather_every(max(1, ordered.height // QUESTIONS)).head(QUESTIONS)
    different = []
    for index in range(sample.height):
        question = sample[index]
        asked = question["as_of"][0]
        again = compute(feature_set, question, _world(declared, tables, asked))
        for name in feature_set.names:
            if not again[name].cast(question[name].dtype).equals(question[name], null_equal=True):
                different.append({"feature": name, "as_of": str(asked)})
    return Found(sample.height, sample.height * len(feature_set.names), different)


def _world(
    declared: Declared, tables: Mapping[str, pl.DataFrame], asked: datetime
) -> dict[str, pl.DataFrame]:
    """The tables as they were known at `asked`: rows of the last weeks, later columns emptied."""
    feature_set = declared.feature_set
    oldest = asked - timedelta(microseconds=feature_set.retention_us)
    lags = {(s.table, s.at): timedelta(microseconds=microseconds(s.lag)) for s in feature_set.sources}
    world = dict(tables)
    for name, frame in tables.items():
        clocks = [at for (table, at) in lags if table == name]
        if clocks:
            recent = [pl.col(at) + lags[(name, at)] > oldest for at in clocks]
            frame = frame.filter(pl.any_horizontal(recent))
        for clock, columns in declared.config.data_sets[name].known.items():
            lag = lags.get((name, clock), timedelta())
            held = [column for column in columns if column in frame.columns and column != clock]
            known = pl.col(clock) + lag <= asked if clock in frame.columns else pl.lit(True)
            frame = frame.with_columns(
                *[pl.when(known).then(pl.col(column)).alias(column) for column in held],
                *([pl.when(known).then(pl.col(clock)).alias(clock)] if clock in columns else []),
            )
        world[name] = frame
    return world
