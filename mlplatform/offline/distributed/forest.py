"""A random forest whose trees are grown on different workers: equal to the local one to the byte.

scikit-learn draws a seed per tree, in order, before it grows any. A worker that is to grow trees 25 to 49
has the forest draw the first 25 seeds, too (`warm_start`), and grows only its own. It must not bin rows:
borders are decided once, by all rows.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from mlplatform.offline.distributed import tasks
from mlplatform.stages.training.contract import Floats, Model, Task, TrainingSet, check_served
from mlplatform.stages.training.models import random_forest
from mlplatform.stages.training.models._binning import Binned, binned, tree_of
from mlplatform.stages.training.models._numbers import spaced
from mlplatform.stages.training.models._trees import Tree

_PARTS = 4
"""Tasks per worker: fewer lose more work with a worker, more send the borders of the bins more often."""


def fit(
    client: Any,
    params: Mapping[str, object],
    training: TrainingSet,
    workers: int = 2,
    limit: float = tasks.LIMIT,
) -> Model:
    """The model that `random_forest` makes of these parameters and rows; errors are those of `train_each`."""
    given = random_forest.build(**params).params
    check_served("random_forest", random_forest.TASKS, training)
    chosen = spaced(len(training.y), given.max_rows)
    numbers, edges = binned(training.X[chosen])
    rows = tasks.submit(client, tasks.held, (numbers, training.y[chosen]))
    borders = np.linspace(0, given.n_estimators, min(given.n_estimators, workers * _PARTS) + 1).astype(int)
    grown = [
        tasks.submit(client, grow, given, training.task, rows, edges, int(first), int(stop))
        for first, stop in pairwise(borders)
    ]
    trees = [tree for part in tasks.results(client, grown, limit) for tree in part]
    return random_forest.RandomForest(random_forest.Saved(training.names, trees))


def grow(
    params: random_forest.Parameters,
    task: Task,
    rows: tuple[Binned, Floats],
    edges: list[Floats],
    first: int,
    stop: int,
) -> list[Tree]:
    """Trees first .. stop-1 of the forest, grown in this process on binned rows and their labels."""
    alone = msgspec.structs.replace(params, n_estimators=stop, n_jobs=1)
    forest = random_forest.RandomForestEstimator(alone)._solver(task)
    forest.set_params(warm_start=True)
    forest.estimators_ = [None] * first  # places of trees that other workers grow; only their number is read
    with threadpool_limits(1):
        forest.fit(*rows)
    return [tree_of(each.tree_, edges, task) for each in forest.estimators_[first:]]
