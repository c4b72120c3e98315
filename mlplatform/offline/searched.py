"""Searches the parameters of a declared model on stored rows, and says it as rows of a table and back.

It must not read a row that is not of the training part, nor store anything; `assets/search.py` does that.
"""

import time
from typing import Any

import msgspec
import polars as pl

from mlplatform import plugins
from mlplatform.errors import NotFound
from mlplatform.offline import rows
from mlplatform.offline.assets.selection import selected
from mlplatform.offline.declared import Declared, canonical
from mlplatform.offline.search_declared import metric_of, section
from mlplatform.stages.evaluation.search import folds
from mlplatform.stages.evaluation.search.found import Found
from mlplatform.stages.evaluation.search.space import placed
from mlplatform.stages.evaluation.search.tuning import Heard, search
from mlplatform.stages.training import models
from mlplatform.stores.lake import Lake

SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "partition_key": pl.String,
    "model": pl.String,
    "trial": pl.Int64,
    "state": pl.String,
    "best": pl.Boolean,
    "metric": pl.String,
    "value": pl.Float64,
    "folds": pl.List(pl.Float64),
    "params": pl.String,
    "reason": pl.String,
    "fit_seconds": pl.Float64,
}
"""Columns of a search's table; `value` is null unless complete, `params` is the point as JSON."""


def search_model(
    declared: Declared,
    lake: Lake,
    name: str,
    as_of: str,
    *,
    trials: int | None = None,
    heard: Heard = lambda trial: None,
) -> Found:
    """Search the parameters of a model on the training rows of a date; `trials` instead of the declared ones.

    Raises
    ------
    ConfigurationError
        if the model declares no search, or its rows do not make the folds.
    NotFound
        if there is no such model, or no features or split of that date yet.
    ModelError
        if every trial failed.
    """
    told, model = section(declared, name), declared.config.models[name]
    training = rows.of_part(declared, lake, as_of, "train")
    training = training.filter(folds.sample(training["day"], told.rows, told.seed))
    made = folds.of_rows(
        training,
        selected(declared, lake, as_of),
        told.folds,
        lambda fitted, past: rows.training_set(declared, fitted, past),
    )
    return search(
        made,
        plugins.find(models, model.type).build,
        model.params,
        told.dimensions,
        metric_of(declared, name),
        told.plan(trials),
        clock=time.perf_counter,
        heard=heard,
    )


def searched(declared: Declared, lake: Lake, name: str, as_of: str) -> dict[str, Any]:
    """What a model of a date is built with: its parameters, with the best found in their places.

    Raises
    ------
    NotFound
        if a search is declared and its table has no best trial of that date.
    """
    model = declared.config.models[name]
    if model.search is None:
        return dict(model.params)
    table = declared.table(f"search_{name}")
    best = lake.read(table, partitions=[as_of]).filter("best")
    if not best.height:
        raise NotFound(
            f"{table} has no best trial as of {as_of}.", hint=f"Materialise search_{name} of this date first."
        )
    return placed(model.params, msgspec.json.decode(best["params"][0]))


def to_frame(as_of: str, name: str, found: Found) -> pl.DataFrame:
    """A row per trial, that of the declared parameters (number 0) first."""
    best = found.best.number
    made = [
        {
            "partition_key": as_of,
            "model": name,
            "trial": trial.number,
            "state": trial.state,
            "best": trial.number == best,
            "metric": found.metric,
            "value": trial.value,
            "folds": list(trial.figures),
            "params": canonical(trial.params),
            "reason": trial.reason,
            "fit_seconds": trial.seconds,
        }
        for trial in found.trials
    ]
    return pl.DataFrame(made, schema=SCHEMA)
