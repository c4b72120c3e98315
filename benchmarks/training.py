"""Training of the default use case: its time against the bare libraries, its figures, and what features give.

    python -m benchmarks.training [--json]

On the stored features of the home (MLPLATFORM_HOME; `mlplatform run` makes what is missing). Time: each
declared model and the bare library in turn on the same rows, after a warm-up; the median of three rounds
where one takes less than 5 s. Figures: the stored candidates on the test rows, with 90 % intervals over whole
days. Gain: the declared LightGBM over one on simple features only (plain_model.py), on the same draws of
days; the simple one with parameters of its own, and with the declared ones.
"""

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks import plain_model
from benchmarks.bare_training import BARE
from mlplatform import plugins
from mlplatform.crosscutting.settings import Settings
from mlplatform.offline import project, rows
from mlplatform.offline.declared import Declared
from mlplatform.offline.run import run
from mlplatform.stages.evaluation import bootstrap
from mlplatform.stages.evaluation.evaluators.calibration import BINS
from mlplatform.stages.evaluation.metrics import METRICS
from mlplatform.stages.evaluation.report import Report, evaluate_all
from mlplatform.stages.evaluation.values import Floats
from mlplatform.stages.preparation.fitted import FittedFeatureSet, fit
from mlplatform.stages.training import models
from mlplatform.stages.training.candidate import open_model
from mlplatform.stages.training.contract import TrainingSet
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.lake import Lake

QUICK_S, ROUNDS, WARM_UP = 5.0, 3, 5000
SHOWN = ("roc_auc", "log_loss", "ece")
EVALUATORS = ("roc", "log_loss", "calibration")
BOUND = 0.020
"""Of the gain in area under the curve, to compare with."""


def timed(declared: Declared, data: TrainingSet) -> dict[str, dict[str, float]]:
    """Seconds of each declared model on all training rows, of the bare library on those that ours fits."""
    found = {}
    for name, model in declared.config.models.items():
        estimator = plugins.find(models, model.type).build(**model.params)
        most = getattr(estimator.params, "max_rows", len(data.y))
        fitted = _some(data, most)
        bare = BARE.get(model.type)
        small = _some(data, WARM_UP)
        works: dict[str, Callable[[TrainingSet], object]] = {"fit_s": estimator.fit}
        if bare is not None:
            works["bare_s"] = lambda rows, bare=bare, params=model.params: bare(rows, params)  # type: ignore[misc]
        for work in works.values():
            work(small)
        seconds = _in_turn({"fit_s": data, "bare_s": fitted}, works)
        found[name] = {key: round(value, 3) for key, value in seconds.items()}
        if bare is not None:
            found[name] |= {"ratio": round(seconds["fit_s"] / seconds["bare_s"], 2), "rows": len(fitted.y)}
    return found


def _some(data: TrainingSet, most: int) -> TrainingSet:
    """At most so many evenly spaced rows."""
    chosen = np.linspace(0, len(data.y) - 1, min(most, len(data.y))).astype(np.int64)
    return TrainingSet(data.X[chosen], data.y[chosen], data.names, data.categories)


def _in_turn(
    given: dict[str, TrainingSet], works: dict[str, Callable[[TrainingSet], object]]
) -> dict[str, float]:
    """Median seconds of each work, done in turn; once if that takes long."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            started = time.perf_counter()
            work(given[name])
            seconds[name].append(time.perf_counter() - started)
        if max(sum(each) for each in seconds.values()) > QUICK_S:
            break
    return {name: statistics.median(each) for name, each in seconds.items()}


def judged(y: Floats, p: Floats, days: pl.Series) -> Report:
    """Figures with draws over days; the calibration error too."""
    report = evaluate_all(EVALUATORS, y, p, days=days)
    report.draws["ece"] = tuple(_calibration_draws(y, p, days).tolist())
    return report


def _calibration_draws(y: Floats, p: Floats, days: pl.Series) -> Floats:
    """The expected calibration error (calibration.py) on each resampling of the days."""
    resampled = bootstrap.resample(days)
    # Its terms are |observed - score| of a bin's sums: a sum per day and bin is all that is needed.
    place = np.searchsorted(np.arange(1, BINS) / BINS, p, side="right")
    cells, size = resampled.place * BINS + place, resampled.weights.shape[1] * BINS
    apart = np.bincount(cells, weights=y - p, minlength=size).reshape(-1, BINS)
    rows_of = np.bincount(resampled.place, minlength=resampled.weights.shape[1])
    errors: Floats = np.abs(resampled.weights @ apart).sum(axis=1) / (resampled.weights @ rows_of)
    return errors


def shown(report: Report) -> dict[str, Any]:
    """The chief figures, each with the ends of its interval."""
    told = {}
    for name in SHOWN:
        ends = bootstrap.interval(report.draws[name])
        told[name] = [round(value, 4) for value in (report.figures[name], ends.low, ends.high)]
    return told


def of_candidates(
    declared: Declared, lake: Lake, store: CandidateStore, test: pl.DataFrame
) -> dict[str, Report]:
    """Each stored candidate on the test rows."""
    y, as_of, found = rows.labels(test), str(declared.config.split.as_of), {}
    for name in declared.config.models:
        made = lake.read(declared.table(f"candidate_{name}"), columns=["digest"], partitions=[as_of])
        candidate = store.get(declared.name, made["digest"][0])
        X = FittedFeatureSet.from_json(candidate.feature_set).matrix(test)
        found[name] = judged(y, open_model(candidate).predict(X), test["day"])
    return found


def of_simple_features(
    fitted: FittedFeatureSet, params: dict[str, Any], train: pl.DataFrame, test: pl.DataFrame
) -> Report:
    """A LightGBM on these features judged on the test rows."""
    data = TrainingSet(fitted.matrix(train), rows.labels(train), fitted.names, fitted.categories)
    model = plugins.find(models, "lightgbm").build(**params).fit(data)
    return judged(rows.labels(test), model.predict(fitted.matrix(test)), test["day"])


def gains(mine: Report, theirs: Report) -> dict[str, list[float]]:
    """Paired gains of one model over another with their 90 % intervals."""
    found = {}
    for name in ("roc_auc", "log_loss"):
        metric = METRICS[name]
        ends = bootstrap.gain_interval(metric, mine.draws[name], theirs.draws[name])
        value = metric.gain(mine.figures[name], over=theirs.figures[name])
        found[name] = [round(each, 4) for each in (value, ends.low, ends.high)]
    return found


def result(declared: Declared, settings: Settings) -> dict[str, Any]:
    """Everything that is published."""
    run(declared, settings)
    as_of = str(declared.config.split.as_of)
    with closing(Lake.from_settings(settings)) as lake:
        train, test = (rows.of_part(declared, lake, as_of, part) for part in ("train", "test"))
        fitted = fit(declared.feature_set, train, train["label"])
        data = TrainingSet(fitted.matrix(train), rows.labels(train), fitted.names, fitted.categories)
        reports = of_candidates(declared, lake, CandidateStore(settings.candidates), test)
    simple = fit(plain_model.simple(declared.feature_set), train, train["label"])
    sides = {"own": plain_model.PARAMS, "declared": declared.config.models["lightgbm"].params}
    plain = {name: of_simple_features(simple, params, train, test) for name, params in sides.items()}
    return {
        "as_of": as_of,
        "training_rows": train.height,
        "test_rows": test.height,
        "features": len(fitted.names),
        "time": timed(declared, data),
        "test": {name: shown(report) for name, report in reports.items()},
        "simple_features": len(simple.names),
        "simple_lightgbm_by_parameters": {name: shown(report) for name, report in plain.items()},
        "gain_over_simple_by_parameters": {
            name: gains(reports["lightgbm"], report) for name, report in plain.items()
        },
        "bound_of_gain_in_roc_auc": BOUND,
    }


def main() -> None:
    """Run and report."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    warnings.filterwarnings("ignore", message=r".* is currently in (beta|preview)")  # Dagster, at every asset
    declared = project.load(project.find("flight_delay", Path.cwd()))
    found = result(declared, Settings.load())
    if options.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        if isinstance(value, dict):
            print(f"{name}:")
            for key, told in value.items():
                print(f"{key:>25}: {told}")
        else:
            print(f"{name}: {value}")


if __name__ == "__main__":
    main()
