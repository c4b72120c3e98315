"""Training in one process with two threads against two Dask workers of one thread each, on the same rows.

    python -m benchmarks.distributed_training --rows 40000

Prints one line per model and way: seconds, a figure on later rows, and whether training twice gives the same
bytes, or those of local training. Starting the cluster is timed apart.
"""

import argparse
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
    rows = int(parser.parse_args().rows)
    started = time.perf_counter()
    with cluster("", 2) as client:
        print(f"two workers started in {time.perf_counter() - started:.1f} s; {rows} training rows")
        for kind, parallel, params in CASES:
            print(line(client, kind, parallel, params, rows), flush=True)


def line(client: Any, kind: str, parallel: ways.Parallel, params: dict[str, object], rows: int) -> str:
    """What one case gave."""
    task: Any = "regression" if kind.endswith("regression") else "classification"
    data, later = training_set(task, rows), training_set(task, 8_000, rows)

    def spread() -> Model:
        return trained(client, kind, params, parallel, 2, data, 3600)

    spread()  # the workers import what they need
    seconds, local = timed(lambda: plugins.find(models, kind).build(**params).fit(data))
    apart, found = timed(spread)
    same = found.files() == spread().files()
    gap = float(np.abs(found.predict(later.X) - local.predict(later.X)).max())
    return (
        f"{kind} {parallel}: {seconds:.2f} s local, {apart:.2f} s parallel; "
        f"{figure(task, local, later)} local, {figure(task, found, later)} parallel; "
        f"bytes as before {same}, as local {found.files() == local.files()}; largest gap of a score {gap:.1e}"
    )


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
