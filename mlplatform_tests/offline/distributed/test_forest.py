"""Trees grown on several workers are the local forest, to the byte, also when a worker dies."""

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mlplatform.errors import ConfigurationError
from mlplatform.offline.distributed import forest
from mlplatform.stages.training.contract import Task
from mlplatform.stages.training.models import random_forest
from mlplatform.stages.training.models._binning import binned
from mlplatform_tests.offline.distributed.flights import training_set
from mlplatform_tests.offline.distributed.killing import Assassin


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("params", [{"n_estimators": 13, "seed": 5}, {"n_estimators": 3, "max_rows": 1000}])
def test_the_forest_equals_the_local_one(client: Any, task: Task, params: dict[str, object]) -> None:
    data = training_set(task, 5000)
    found = forest.fit(client, params, data)
    assert found.files() == random_forest.build(**params).fit(data).files()


def test_a_forest_scores_the_flights_of_another_week(client: Any) -> None:
    found = forest.fit(client, {"n_estimators": 20}, training_set(rows=20_000))
    later = training_set(rows=5000, skip=20_000)
    assert found.names == later.names
    assert roc_auc_score(later.y, found.predict(later.X)) > 0.55


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_loses_no_tree(client: Any) -> None:
    data, params = training_set(rows=20_000), {"n_estimators": 80, "min_samples_leaf": 5}
    assassin = Assassin(client, "grow")
    found = assassin.during(lambda: forest.fit(client, params, data))
    assert assassin.early
    assert assassin.victim not in client.nthreads()
    assert found.files() == random_forest.build(**params).fit(data).files()


def test_another_task_is_refused_before_any_work(client: Any) -> None:
    with pytest.raises(ConfigurationError, match="got task 'ranking'"):
        forest.fit(client, {}, training_set("ranking", 500))


def test_a_part_is_the_same_trees_as_in_the_whole() -> None:
    data = training_set(rows=2000)
    params = random_forest.build(n_estimators=6, seed=3).params
    numbers, edges = binned(data.X)
    rows = (numbers, data.y)
    whole = forest.grow(params, "classification", rows, edges, 0, 6)
    parts = [forest.grow(params, "classification", rows, edges, i, i + 2) for i in (0, 2, 4)]
    assert whole == [tree for part in parts for tree in part]
    assert not np.array_equal(whole[0].threshold, whole[1].threshold)
