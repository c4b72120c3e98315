"""The questions behind scores: their rows, the features the model saw, and what fed these.

The features are computed and the rows scored once more: where both come out to the bit, the rows that are
named are the rows that gave the score. It must not look for a release or a file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from mlplatform.errors import MlplatformError
from mlplatform.stages.monitoring.lineage import Fed, Lineage
from mlplatform.stages.preparation.batch import compute
from mlplatform.stages.preparation.declarations import FeatureSet
from mlplatform.stages.training.contract import Floats
from mlplatform.stores.lake import KEY
from mlplatform.stores.lake_sql import quoted
from mlplatform.stores.served import SERVED, column_of
from mlplatform.stores.stored_features import FEATURES, readable
from mlplatform.stores.tracing import fed
from mlplatform.stores.tracing.origin import Origin, Trained

_DAY, _BATCH, _AT = "_day", "_batch", "_at"


@dataclass
class Question:
    """What is known of the question of one score."""

    facts: dict[str, Any] | None = None
    """What was asked about; None where ready-made features were given, or the row is not there any more."""
    day: str | None = None
    """Partition of the spine's row; None where it has none."""
    batch: str | None = None
    """Batch of the spine's row."""
    values: list[float] | None = None
    """The encoded row in the order of the feature set."""
    origin: str = ""
    """Where the values come from: `logged`, `stored` or `computed`."""
    fed: dict[str, Fed] = field(default_factory=dict)
    """Per feature the rows of cleaned tables that fed it."""
    events: dict[str, Fed] = field(default_factory=dict)
    """Per feature the archived events that are such rows."""
    same_features: bool | None = None
    """Whether the features, computed once more now, are the same to the bit; None: not computed."""
    same_score: bool | None = None
    """Whether the model gives the score again, to the bit."""
    trouble: str = ""
    """Why the features could not be computed."""


def look(origin: Origin, trained: Trained, table: str, rows: pl.DataFrame) -> list[Question]:
    """The questions of scores of one candidate, in the order of `rows`, rows of `served` or `scores`."""
    questions = [Question() for _ in range(rows.height)]
    if table == SERVED:
        for question, vector in zip(questions, rows["vector"].to_list(), strict=True):
            question.values, question.origin = (vector, "logged") if vector else (None, "")
    asked = rows.with_row_index(_AT).filter(pl.col("as_of").is_not_null())
    if asked.height:
        _look(origin, trained, table, asked, questions)
    _score_again(trained, rows["score"].to_list(), questions)
    return questions


def _look(
    origin: Origin, trained: Trained, table: str, rows: pl.DataFrame, questions: list[Question]
) -> None:
    feature_set = trained.fitted.feature_set
    facts = asked_online(origin, feature_set, rows) if table == SERVED else _batch(origin, feature_set, rows)
    names = list(feature_set.spine.facts)
    for at, day, batch, told in zip(
        facts[_AT], facts[_DAY], facts[_BATCH], facts.select(names).iter_rows(named=True), strict=True
    ):
        questions[at].facts, questions[at].day, questions[at].batch = told, day, batch
    if table != SERVED:
        _stored(origin, trained, facts, questions)
    times = facts["as_of"].drop_nulls()
    if not len(times):
        return
    begin, end = times.min(), times.max()
    assert isinstance(begin, datetime)
    assert isinstance(end, datetime)
    try:
        tables = fed.cleaned(origin, feature_set, begin, end)
        _fed(feature_set, facts, tables, questions)
        _compute_again(trained, facts, tables, questions)
    except MlplatformError as error:
        for at in facts[_AT]:
            questions[at].trouble = str(error)
    if table == SERVED:
        _from_streams(feature_set, facts, fed.archived(origin, feature_set, begin, end), questions)


def asked_online(origin: Origin, feature_set: FeatureSet, rows: pl.DataFrame) -> pl.DataFrame:
    """What was asked online, with day and batch of the row that tells of the same, if there is one."""
    spine = feature_set.spine
    stored = origin.lake.read(origin.table(spine.table), columns=list(spine.facts), partitions=[]).schema
    facts = rows.select(
        _AT, "as_of", *(pl.col(column_of(name)).cast(stored[name]).alias(name) for name in spine.facts)
    )
    if not set(spine.key) <= set(spine.facts):
        nothing = [pl.lit(None, pl.String).alias(name) for name in (_DAY, _BATCH)]
        ids = [pl.int_range(pl.len()).alias(name) for name in spine.key if name not in spine.facts]
        return facts.with_columns(*nothing, *ids)
    known = _spine_rows(origin, feature_set, facts, []).unique(spine.key, keep="last", maintain_order=True)
    return facts.join(known, on=list(spine.key), how="left", maintain_order="left")


def _batch(origin: Origin, feature_set: FeatureSet, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows that were scored, as they are now; those that are not there any more are left out."""
    spine = feature_set.spine
    more = [name for name in spine.facts if name not in spine.key]
    known = _spine_rows(origin, feature_set, rows, more)
    keys = rows.select(_AT, "as_of", *spine.key, pl.col(KEY).alias(_DAY))
    return keys.join(known, on=[*spine.key, _DAY], how="inner", maintain_order="left")


def _spine_rows(
    origin: Origin, feature_set: FeatureSet, asked: pl.DataFrame, more: list[str]
) -> pl.DataFrame:
    """Rows of the spine's table by key: the key, `more` columns, their day and batch."""
    name, key = feature_set.spine.table, list(feature_set.spine.key)
    columns = [*key, *more, *fed.marks(origin, name, [*key, *more])]
    names = ", ".join(map(quoted, columns))
    keys = asked.select(key).drop_nulls()
    bounds = [bound for column in key for bound in (keys[column].min(), keys[column].max())]
    within = " AND ".join(f"{quoted(column)} BETWEEN ? AND ?" for column in key)
    rows = origin.lake.sql(f'SELECT {names} FROM "{origin.use_case}"."{name}" WHERE {within}', bounds)
    found = rows.with_columns(fed.batch_of(origin, name, rows).alias(_BATCH), pl.col(KEY).alias(_DAY))
    return found.select(*key, *more, _BATCH, _DAY).unique([*key, _DAY], keep="first", maintain_order=True)


def _stored(origin: Origin, trained: Trained, facts: pl.DataFrame, questions: list[Question]) -> None:
    """The values of the stored features, of the days where they are by this feature set."""
    feature_set = trained.fitted.feature_set
    key, names = list(feature_set.spine.key), list(feature_set.names)
    days = sorted(set(facts[_DAY].drop_nulls()))
    by_set = readable(origin.lake, origin.use_case, feature_set, days) if origin.columns(FEATURES) else []
    if not by_set:
        return
    columns = list(dict.fromkeys([*key, *names]))
    stored = origin.lake.read(origin.table(FEATURES), columns=columns, partitions=by_set)
    found = facts.select(_AT, *key).join(stored.unique(key), on=key, how="inner", maintain_order="left")
    for at, values in zip(found[_AT], trained.fitted.matrix(found).tolist(), strict=True):
        questions[at].values, questions[at].origin = values, "stored"


def _fed(
    feature_set: FeatureSet,
    facts: pl.DataFrame,
    tables: Mapping[str, pl.DataFrame],
    questions: list[Question],
) -> None:
    sources = {source.name: tables[source.table] for source in feature_set.sources}
    statics = {name: tables[name] for name in feature_set.statics}
    found = Lineage(feature_set, facts, sources, statics).of()
    for place, at in enumerate(facts[_AT]):
        questions[at].fed = {name: each[place] for name, each in found.items()}


def _from_streams(
    feature_set: FeatureSet,
    facts: pl.DataFrame,
    events: Mapping[str, pl.DataFrame],
    questions: list[Question],
) -> None:
    if not events:
        return
    found = Lineage(feature_set, facts, events, {}).of()
    for place, at in enumerate(facts[_AT]):
        questions[at].events = {name: each[place] for name, each in found.items() if each[place].rows}


def _compute_again(
    trained: Trained, facts: pl.DataFrame, tables: Mapping[str, pl.DataFrame], questions: list[Question]
) -> None:
    matrix = trained.fitted.matrix(compute(trained.fitted.feature_set, facts, tables))
    for place, at in enumerate(facts[_AT]):
        question = questions[at]
        if question.values is None and question.origin == "":
            question.values, question.origin = matrix[place].tolist(), "computed"
        else:
            question.same_features = _bits(np.array(question.values)) == _bits(matrix[place])


def _score_again(trained: Trained, scores: list[float], questions: list[Question]) -> None:
    width = len(trained.fitted.names)
    seen = [at for at, question in enumerate(questions) if len(question.values or []) == width]
    if trained.predict is None or not seen:
        return
    given = trained.predict(np.array([questions[at].values for at in seen], dtype=np.float64))
    for at, score in zip(seen, given.tolist(), strict=True):
        questions[at].same_score = _bits(np.array([score])) == _bits(np.array([scores[at]]))


def _bits(values: Floats) -> bytes:
    return np.ascontiguousarray(values, dtype=np.float64).tobytes()
