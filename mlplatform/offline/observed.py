"""Answers of a day joined with what happened, and with what a reference says of the same questions.

An answer is one of the table `served`; its outcome may come days later, or be corrected: then the day is
joined anew. It must not judge, act, or know Dagster.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import polars as pl

from mlplatform.errors import ConfigurationError, MlplatformError
from mlplatform.offline.declared import Declared
from mlplatform.offline.served_features import features_of_served
from mlplatform.stages.deployment.alias import Deployment
from mlplatform.stages.deployment.release import Release
from mlplatform.stages.preparation.fitted import FittedFeatureSet
from mlplatform.stages.training.candidate import open_model
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.lake import KEY, Lake, Table
from mlplatform.stores.served import SERVED, column_of

_LOG = logging.getLogger(__name__)
_INSTANT = pl.Datetime("us", "UTC")
SCHEMA: dict[str, pl.DataType] = {
    "prediction_id": pl.String(),
    "as_of": _INSTANT,
    "answered_at": _INSTANT,
    "model": pl.String(),
    "version": pl.Int64(),
    "digest": pl.String(),
    "link": pl.String(),
    "late": pl.Boolean(),
    "because": pl.String(),
    "serving_ms": pl.Float64(),
    "features_age_s": pl.Float64(),
    "score": pl.Float64(),
    "times": pl.Int64(),
    "outcome": pl.Float64(),
    "label_version": pl.String(),
    "reference_version": pl.Int64(),
    "reference": pl.Float64(),
}
"""Columns of the table `observed`: an answer (given `times` times; the last of them), its `outcome` (null
while unknown) out of the batch `label_version`, and what the reference version says of the same question."""
BATCH = "batch_id"


@dataclass(frozen=True)
class Where:
    """Where the outcomes of a use case are."""

    table: str
    key: tuple[str, ...]
    """Columns of it, in the order of `questions`."""
    questions: tuple[str, ...]
    """Facts of a question by which it is found."""
    label: str

    @classmethod
    def of(cls, declared: Declared) -> "Where | None":
        """Where a use case declares them; None: it has none (clusters).

        Raises
        ------
        ConfigurationError
            if `monitoring.outcomes` names what is not there.
        """
        told, spine = declared.config.monitoring.outcomes, declared.feature_set.spine
        label = told.label or declared.config.target
        if label is None:
            return None
        by_key = all(name in spine.facts for name in spine.key)
        questions = tuple(spine.key) if by_key else tuple(spine.facts)
        key = tuple(told.key) or questions
        if len(key) != len(questions):
            raise ConfigurationError(
                f"monitoring.outcomes.key names {len(key)} columns; allowed: {len(questions)}, for "
                f"{', '.join(questions)}.",
                hint="Name, in that order, the columns of the outcomes' table that hold the same.",
            )
        table = told.data_set or spine.table
        if table not in declared.config.data_sets:
            raise ConfigurationError(
                f"monitoring.outcomes.data_set is {table!r}; allowed: "
                f"{', '.join(declared.config.data_sets)}.",
                hint="Declare the data set that delivers the outcomes.",
            )
        return cls(table, key, questions, label)


def observed(
    declared: Declared,
    lake: Lake,
    candidates: CandidateStore,
    deployment: Deployment | None,
    days: Sequence[str],
    now: datetime,
) -> pl.DataFrame:
    """The answers to questions of the days (UTC days of `as_of`), with the columns of `SCHEMA`, and KEY.

    Raises
    ------
    ConfigurationError
        as `Where.of`.
    MlplatformError
        if the lake cannot be read.
    """
    rows = _answers(declared, lake, days)
    where = Where.of(declared)
    rows = _with_outcomes(declared, lake, rows, where, now) if where else _without(rows)
    rows = _with_reference(declared, lake, candidates, deployment, rows)
    return rows.select(
        *(pl.col(name).cast(kind) for name, kind in SCHEMA.items()),
        pl.col("as_of").dt.strftime("%Y-%m-%d").alias(KEY),
    ).sort("as_of", "prediction_id", "link")


def reference_of(version: int, deployment: Deployment) -> Release | None:
    """What a version is compared with: the champion the one before it, every other one the champion."""
    champion = deployment.champion
    if version != champion.version:
        return champion
    return deployment.previous[0] if deployment.previous else None


def _answers(declared: Declared, lake: Lake, days: Sequence[str]) -> pl.DataFrame:
    """Distinct answers with their facts and vectors, and how often each was given."""
    table = declared.table(SERVED)
    frames = []
    if lake.exists(table):
        for day in days:
            begin = datetime.combine(date.fromisoformat(day), time(), UTC)
            end = begin + timedelta(days=1, microseconds=-1)
            frames.append(lake.read(table, moments={"as_of": (begin, end)}))
    rows = pl.concat(frames, how="diagonal_relaxed") if frames else pl.DataFrame(schema=SCHEMA)
    if not rows.height:
        return pl.DataFrame(schema=SCHEMA | {"vector": pl.List(pl.Float64())})
    missing = {"answered_at": _INSTANT, "serving_ms": pl.Float64(), "because": pl.String()}
    rows = rows.with_columns(  # answers of a version before this one have no such columns
        pl.lit(None, kind).alias(name) for name, kind in missing.items() if name not in rows.columns
    )
    times = rows.group_by("prediction_id", "link").agg(times=pl.len().cast(pl.Int64))
    newest = rows.sort("answered_at", nulls_last=False).unique(["prediction_id", "link"], keep="last")
    return newest.join(times, on=["prediction_id", "link"])


def _with_outcomes(
    declared: Declared, lake: Lake, rows: pl.DataFrame, where: Where, now: datetime
) -> pl.DataFrame:
    """With `outcome` and `label_version`; what was waited for in vain counts as declared."""
    table = declared.table(where.table)
    if not rows.height or not lake.exists(table):
        return _without(rows)
    stored = lake.read(table, partitions=[])
    batch = [BATCH] if BATCH in stored.columns else []
    first, last = _days_around(rows) if where.table in declared.daily else (None, None)
    columns = list(dict.fromkeys([*where.key, where.label, *batch]))
    found = lake.read(table, columns=columns, first=first, last=last)
    renamed = found.select(
        *(pl.col(ours).alias(f"_{theirs}") for ours, theirs in zip(where.key, where.questions, strict=True)),
        outcome=pl.col(where.label).cast(pl.Float64).fill_nan(None),
        label_version=pl.col(BATCH) if batch else pl.lit(None, pl.String),
    ).drop_nulls("outcome")
    keys = [f"_{name}" for name in where.questions]
    asked = rows.with_columns(
        pl.col(column_of(name)).cast(renamed.schema[f"_{name}"]).alias(f"_{name}") for name in where.questions
    )
    joined = asked.join(renamed.unique(keys, keep="last", maintain_order=True), on=keys, how="left")
    return _waited(joined.drop(keys), declared, now)


def _waited(rows: pl.DataFrame, declared: Declared, now: datetime) -> pl.DataFrame:
    told = declared.config.monitoring.outcomes
    if told.never is None:
        return rows
    over = pl.col("as_of") < now - timedelta(days=told.wait_days)
    absent = pl.col("outcome").is_null() & over
    return rows.with_columns(
        outcome=pl.when(absent).then(told.never).otherwise("outcome"),
        label_version=pl.when(absent).then(pl.lit("never")).otherwise("label_version"),
    )


def _without(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(outcome=pl.lit(None, pl.Float64), label_version=pl.lit(None, pl.String))


def _days_around(rows: pl.DataFrame) -> tuple[str, str]:
    """First and last partition that can hold the outcomes: a row's day may be beside that of `as_of`."""
    first, last = rows["as_of"].min(), rows["as_of"].max()
    assert isinstance(first, datetime)
    assert isinstance(last, datetime)
    return str((first - timedelta(days=2)).date()), str((last + timedelta(days=2)).date())


def _with_reference(
    declared: Declared,
    lake: Lake,
    candidates: CandidateStore,
    deployment: Deployment | None,
    rows: pl.DataFrame,
) -> pl.DataFrame:
    """With what the reference of each version says of the same questions; null where it cannot be asked."""
    none = [pl.lit(None, pl.Int64).alias("reference_version"), pl.lit(None, pl.Float64).alias("reference")]
    if deployment is None or not rows.height:
        return rows.with_columns(none)
    parts = []
    for (version,), part in rows.partition_by("version", as_dict=True, maintain_order=True).items():
        release = reference_of(int(version), deployment)
        askable = part.filter(pl.col("vector").list.len() > 0)
        rest = part.filter((pl.col("vector").list.len() > 0).not_())
        if release is None or not askable.height:
            parts.append(part.with_columns(none))
            continue
        scores = _scores(declared, lake, candidates, release, askable)
        told = [pl.lit(release.version, pl.Int64).alias("reference_version"), scores.alias("reference")]
        parts += [askable.with_columns(told), rest.with_columns(none)]
    return pl.concat(parts, how="diagonal_relaxed")


def _scores(
    declared: Declared, lake: Lake, candidates: CandidateStore, release: Release, rows: pl.DataFrame
) -> pl.Series:
    """The scores of a release for questions that were asked of another one; nulls if it cannot be opened."""
    try:
        candidate = candidates.get(declared.name, release.digest)
        fitted = FittedFeatureSet.from_json(candidate.feature_set)
        if set(rows["feature_set"].unique()) == {fitted.id}:  # the very rows that were scored
            matrix = rows["vector"].list.to_array(len(fitted.names)).to_numpy()
        else:
            matrix = fitted.matrix(features_of_served(declared, lake, fitted.feature_set, rows))
        return pl.Series(open_model(candidate).predict(matrix), dtype=pl.Float64)
    except MlplatformError as error:  # a reference that is gone, or whose rows are: no verdict then
        _LOG.warning("version %s cannot be asked as a reference: %s", release.version, error)
        return pl.Series([None] * rows.height, dtype=pl.Float64)


def table_of(declared: Declared) -> Table:
    """The table of `observed`."""
    return declared.table("observed")
