"""Served vectors and scores of each version in use against those it was trained on, kept in the lake.

The profile of a training is made once and kept under the candidate's digest; of the answers the newest are
compared. It must not know Dagster, nor judge a distance.
"""

import logging
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import polars as pl

from mlplatform.errors import MlplatformError
from mlplatform.offline import rows as training_rows
from mlplatform.offline.declared import Declared
from mlplatform.stages.deployment.alias import Deployment
from mlplatform.stages.deployment.release import Release
from mlplatform.stages.evaluation.values import Floats
from mlplatform.stages.monitoring.drift import drift
from mlplatform.stages.monitoring.profiles import NumberProfile, Profile, profile
from mlplatform.stages.monitoring.served_vectors import decoded, histogram
from mlplatform.stages.preparation.fitted import FittedFeatureSet
from mlplatform.stages.training.candidate import Candidate, open_model
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.lake import KEY, Lake, Write
from mlplatform.stores.lake_sql import quoted
from mlplatform.stores.served import SERVED

_LOG = logging.getLogger(__name__)
PROFILES, FEATURES, SCORES = "training_profiles", "serving_features", "serving_scores"
"""Tables: profiles by candidate's digest; distances of features and scores, and histograms, by version."""
MOST_ANSWERS = 20_000
"""Newest answers of a version that are looked at."""
MOST_ROWS = 50_000
"""Training rows that a profile is made of, drawn with `SEED`."""
SEED = 20130101
_SCORE = "score"
_FIGURES = ("psi", "wasserstein", "jensen_shannon")
SCHEMA: dict[str, Any] = {
    "version": pl.Int64,
    "model": pl.String,
    "of": pl.String,
    "name": pl.String,
    "kind": pl.String,
    "rows_reference": pl.Int64,
    "rows_current": pl.Int64,
    "missing_reference": pl.Float64,
    "missing_current": pl.Float64,
    **dict.fromkeys(_FIGURES, pl.Float64),
    "first": pl.Datetime("us", "UTC"),
    "last": pl.Datetime("us", "UTC"),
}
"""Columns of `serving_features`: `of` is feature or score; first and last question that was looked at."""


def keep(declared: Declared, lake: Lake, candidates: CandidateStore, present: Deployment | None) -> None:
    """Compare the newest answers of the versions in use with their trainings, and keep what was found.

    A version whose candidate or training rows are gone is left as it was.

    Raises
    ------
    MlplatformError
        if the lake cannot be written.
    """
    if present is None or not lake.exists(declared.table(SERVED)):
        return
    for release in (present.champion, present.canary, present.shadow):
        if release is not None:
            _keep(declared, lake, candidates, release)


def _keep(declared: Declared, lake: Lake, candidates: CandidateStore, release: Release) -> None:
    answers = _newest(declared, lake, release)
    if not answers.height:
        return
    try:
        candidate = candidates.get(declared.name, release.digest)
        fitted = FittedFeatureSet.from_json(candidate.feature_set)
        profiles = _profiles(declared, lake, candidate, fitted, release)
    except MlplatformError as error:  # what monitoring shows must not stop what it judges
        _LOG.warning("version %s is not compared with its training: %s", release.version, error)
        return
    frames = _compared(release, answers, fitted, profiles)
    version = str(release.version)
    lake.write_all(
        [
            Write(
                declared.table(name), frame.with_columns(pl.lit(version).alias(KEY)), [version], evolve=True
            )
            for name, frame in frames
        ]
    )


def _newest(declared: Declared, lake: Lake, release: Release) -> pl.DataFrame:
    """as_of, score and vector of the newest answers that the version's model gave."""
    table = declared.table(SERVED)
    served, version = f"{quoted(table.schema)}.{quoted(table.name)}", release.version
    newest = f"SELECT as_of FROM {served} WHERE version = ? AND as_of IS NOT NULL ORDER BY as_of DESC LIMIT ?"
    moments = lake.sql(newest, [version, MOST_ANSWERS])["as_of"]
    # With the bound known, the vectors of older answers are not even read.
    return lake.sql(
        f"SELECT as_of, score, vector FROM {served} WHERE version = ? AND as_of >= ? AND len(vector) > 0 "
        "AND link IN ('champion', 'asked', 'canary', 'shadow') ORDER BY as_of DESC LIMIT ?",
        [version, moments.min(), MOST_ANSWERS],
    )


def _compared(
    release: Release, answers: pl.DataFrame, fitted: FittedFeatureSet, profiles: dict[str, list[Profile]]
) -> Iterator[tuple[str, pl.DataFrame]]:
    """The rows of both tables."""
    features = decoded(fitted, answers["vector"].list.to_array(len(fitted.names)).to_numpy())
    about = {
        "version": release.version,
        "model": release.model,
        "first": answers["as_of"].min(),
        "last": answers["as_of"].max(),
    }
    found = [
        about | {"of": of, "name": each.feature} | {n: getattr(each, n) for n in SCHEMA if hasattr(each, n)}
        for of, frame in (("feature", features), (_SCORE, answers))
        for each in drift(profiles[of], frame)
    ]
    yield FEATURES, pl.DataFrame(found, schema=SCHEMA)
    (scores,) = profiles[_SCORE]
    assert isinstance(scores, NumberProfile)
    spread = histogram(scores, answers["score"].to_numpy())
    yield SCORES, spread.with_columns(version=pl.lit(release.version, pl.Int64))


def _profiles(
    declared: Declared, lake: Lake, candidate: Candidate, fitted: FittedFeatureSet, release: Release
) -> dict[str, list[Profile]]:
    """Profiles of the features, and of the scores, by `feature` and `score`; made if they are not kept."""
    table = declared.table(PROFILES)
    kept = lake.read(table, partitions=[release.digest]) if lake.exists(table) else pl.DataFrame()
    if not kept.height:
        made = _made(declared, lake, candidate, fitted, release)
        kept = pl.DataFrame(
            [
                {KEY: release.digest, "of": of, "profile": msgspec.json.encode(each).decode()}
                for of, profiles in made.items()
                for each in profiles
            ]
        )
        lake.write(table, kept, [release.digest], evolve=True)
    found: dict[str, list[Profile]] = {"feature": [], _SCORE: []}
    for of, text in kept.select("of", "profile").iter_rows():
        found[of].append(msgspec.json.decode(text, type=Profile))
    return found


def _made(
    declared: Declared, lake: Lake, candidate: Candidate, fitted: FittedFeatureSet, release: Release
) -> dict[str, tuple[Profile, ...]]:
    """Profiles of the training rows' features, and of the scores of rows that it did not learn from."""
    trained = _matrix(declared, lake, fitted, release.as_of, "train")
    features = decoded(fitted, trained)
    texts = [name for name in fitted.names if name in fitted.levels]
    numbers = [name for name in fitted.names if name not in fitted.levels]
    unseen = _matrix(declared, lake, fitted, release.as_of, "validation")
    scores = pl.DataFrame({_SCORE: np.asarray(open_model(candidate).predict(unseen), dtype=np.float64)})
    return {
        "feature": profile(features, numerical=numbers, categorical=texts),
        _SCORE: profile(scores, numerical=[_SCORE], categorical=[]),
    }


def _matrix(declared: Declared, lake: Lake, fitted: FittedFeatureSet, as_of: str, part: str) -> Floats:
    found = training_rows.of_part(declared, lake, as_of, part)
    return fitted.matrix(found if found.height <= MOST_ROWS else found.sample(MOST_ROWS, seed=SEED))
