"""Training in one process with two threads against two Dask workers of one thread each, on the same rows.

    python -m benchmarks.distributed_training --rows 40000

Prints one line per model and way: seconds, a figure on later rows, and whether training twice gives the same
bytes, or those of local training. Starting the cluster is timed apart.
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.metrics import mean_absolute_error, roc_auc_score

from mlplatform import plugins
from mlplatform.offline.distributed import ways
from mlplatform.offline.distributed.cluster import cluster
from mlplatform.offline.distributed.train import trained
from mlplatform.stages.training import models
from mlplatform.stages.training.contract import Model, TrainingSet
from mlplatform_tests.offline.distributed.flights import training_set

CASES: tuple[tuple[str, ways.Parallel, dict[str, object]], ...] = (
    ("lightgbm", "data", {"num_iterations": 300, "num_leaves": 63}),
    ("lightgbm", "voting", {"num_iterations": 300, "num_leaves": 63}),
    ("random_forest", "model", {"n_estimators": 100}),
    ("ridge_regression", "model", {}),
    ("linear_regression", "model", {}),
)


def main() -> None:
    """Time every case and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    started = time.perf_counter()
    with cluster("", 2) as client:
        starting = time.perf_counter() - started
        cases = [case(client, *each, options.rows) for each in CASES]
    if options.json:
        print(json.dumps({"rows": options.rows, "starting_s": round(starting, 1), "cases": cases}))
        return
    print(f"two workers started in {starting:.1f} s; {options.rows} training rows")
    for each in cases:
        print(", ".join(f"{name} {value}" for name, value in each.items()))


def case(
    client: Any, kind: str, parallel: ways.Parallel, params: dict[str, object], rows: int
) -> dict[str, Any]:
    """What one case gave: seconds, figure and bytes of both ways, the largest gap between their scores."""
    task: Any = "regression" if kind.endswith("regression") else "classification"
    data, later = training_set(task, rows), training_set(task, 8_000, rows)

    def spread() -> Model:
        return trained(client, kind, params, parallel, 2, data, 3600)

    spread()  # the workers import what they need
    seconds, local = timed(lambda: plugins.find(models, kind).build(**params).fit(data))
    apart, found = timed(spread)
    same = found.files() == spread().files()
    gap = float(np.abs(found.predict(later.X) - local.predict(later.X)).max())
    return {
        "model": kind,
        "parallel": parallel,
        "local_s": round(seconds, 2),
        "parallel_s": round(apart, 2),
        "figure_local": figure(task, local, later),
        "figure_parallel": figure(task, found, later),
        "same_bytes_again": same,
        "bytes_of_local": found.files() == local.files(),
        "largest_gap": gap,
    }


def timed(train: Callable[[], Model]) -> tuple[float, Model]:
    """Seconds of wall time, and the model."""
    started = time.perf_counter()
    model = train()
    return time.perf_counter() - started, model


def figure(task: str, model: Model, later: TrainingSet) -> str:
    """AUC, or mean absolute error in minutes, on later rows."""
    scores = model.predict(later.X)
    if task == "classification":
        return f"AUC {roc_auc_score(later.y, scores):.4f}"
    return f"MAE {mean_absolute_error(later.y, scores):.3f}"


if __name__ == "__main__":
    main()
