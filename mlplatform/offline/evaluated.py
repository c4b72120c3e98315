"""Judges a stored candidate on the rows of a split, and says it as rows of a table and back.

It must not import Dagster and must not choose a champion.
"""

from collections.abc import Mapping

import polars as pl

from mlplatform.errors import ConfigurationError, ModelError
from mlplatform.offline import own_features, rows
from mlplatform.offline.declared import Declared
from mlplatform.stages.evaluation.judged import Candidate
from mlplatform.stages.evaluation.report import Report, evaluate_all
from mlplatform.stages.evaluation.slices import by_level
from mlplatform.stages.preparation.fitted import FittedFeatureSet
from mlplatform.stages.training.candidate import open_model
from mlplatform.stages.training.contract import Floats
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.lake import Lake

JUDGED = ("validation", "test")
SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "partition_key": pl.String,
    "model": pl.String,
    "digest": pl.String,
    "part": pl.String,
    "figure": pl.String,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "draws": pl.List(pl.Float64),
}
"""Columns of an evaluation's table; `low`, `high` and `draws` are null where a figure has no interval."""


def check_slices(declared: Declared) -> None:
    """Refuse slices by a column that rows do not have.

    Raises
    ------
    ConfigurationError
        naming the columns that there are.
    """
    allowed = rows.sliceable(declared)
    for slicing in declared.config.slices:
        if slicing.column not in allowed:
            raise ConfigurationError(
                f"slices names {slicing.column!r}; allowed: {', '.join(allowed)}.",
                hint="Slice by a key or a feature of the use case, or by month.",
            )


def evaluate(
    declared: Declared, lake: Lake, store: CandidateStore, digest: str, as_of: str, part: str
) -> Report:
    """The report of a stored candidate on one part of a split: figures, intervals, slices, pictures."""
    candidate = store.get(declared.name, digest)
    judged = rows.judgeable(declared, rows.of_part(declared, lake, as_of, part))
    fitted = FittedFeatureSet.from_json(candidate.feature_set)
    X = fitted.matrix(own_features.of_rows(declared, lake, fitted.feature_set, judged))
    y, p = rows.labels(judged), open_model(candidate).predict(X)
    known = {"X": X, "threshold": declared.config.threshold, **_of_the_task(declared, lake, judged, X)}
    report = evaluate_all(declared.config.evaluators, y, p, days=judged["day"], known=known)
    for slicing in declared.config.slices:
        levels = rows.column(judged, slicing.column)
        said = by_level(declared.config.champion.metric, y, p, levels, slicing.min_rows, known)
        report = report.joined(f"slices by {slicing.column}", said)
    return report


def _of_the_task(declared: Declared, lake: Lake, judged: pl.DataFrame, X: Floats) -> dict[str, object]:
    """What evaluators of rankings and forecasts ask for beside labels and scores."""
    config = declared.config
    if config.task == "clustering":
        return {"X": rows.comparable(X)}
    if config.lists:
        worth = config.lists.worth
        told = {"worth": rows.outcome(declared, lake, judged, worth)} if worth else {}
        return {"groups": rows.groups(judged, config.output.by), **told}
    if config.task == "forecasting":
        told = {"steps": rows.steps(declared, judged), "naive": rows.naive(declared, lake, judged)}
        return {"groups": rows.groups(judged, config.output.by), **told}
    return {}


def to_frame(as_of: str, model: str, digest: str, reports: Mapping[str, Report]) -> pl.DataFrame:
    """A row per part and figure."""
    found = [
        {
            "partition_key": as_of,
            "model": model,
            "digest": digest,
            "part": part,
            "figure": figure,
            "value": value,
            "low": ends.low if (ends := report.interval(figure)) else None,
            "high": ends.high if ends else None,
            "draws": report.draws.get(figure),
        }
        for part, report in reports.items()
        for figure, value in report.figures.items()
    ]
    return pl.DataFrame(found, schema=SCHEMA)


def of_frame(evaluation: pl.DataFrame, broken: str = "", deciding: str = "validation") -> Candidate:
    """The candidate with its figures, from the table an evaluation writes; older ones have no draws.

    `deciding` is the part whose figures and draws are in the place of those that decide.
    """
    figures: dict[str, dict[str, float]] = {part: {} for part in JUDGED}
    draws: dict[str, tuple[float, ...]] = {}
    for row in evaluation.iter_rows(named=True):
        figures[row["part"]][row["figure"]] = row["value"]
        if row["part"] == deciding and row.get("draws"):
            draws[row["figure"]] = tuple(row["draws"])
    name, digest = evaluation["model"][0], evaluation["digest"][0]
    return Candidate(digest, name, figures[deciding], figures["test"], draws, broken)


def of_reports(digest: str, model: str, reports: Mapping[str, Report]) -> Candidate:
    """The candidate with its figures, from reports just made."""
    validation, test = (reports[part] for part in JUDGED)
    return Candidate(digest, model, validation.figures, test.figures, validation.draws)


def broken(declared: Declared, store: CandidateStore, digest: str) -> str:
    """Why the golden rows of a stored candidate do not replay; empty if they do."""
    try:
        open_model(store.get(declared.name, digest))
    except ModelError as error:
        return str(error)
    return ""
