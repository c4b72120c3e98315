"""Independent trainings, one on a worker."""

import os
import time
from typing import Any

import dask
import numpy as np
import pytest

from mlplatform.errors import ConfigurationError, ModelError, ServiceError
from mlplatform.offline.distributed import tasks
from mlplatform.offline.distributed.cluster import cluster
from mlplatform.offline.distributed.tasks import Job, fitted, train_each
from mlplatform.stages.training.contract import TrainingSet
from mlplatform_tests.offline.distributed.flights import training_set
from mlplatform_tests.offline.distributed.killing import Assassin

LATE, MINUTES = training_set(rows=4000), training_set("regression", 4000)


def test_each_model_is_that_of_local_training(client: Any) -> None:
    jobs = [
        Job("lightgbm", {"num_iterations": 20, "num_threads": 1}, LATE),
        Job("ridge_regression", {"alpha": 2.0}, MINUTES),
        Job("rate_table", {"by": ["carrier", "hour"]}, LATE),
    ]
    assert train_each(client, jobs) == [fitted(job) for job in jobs]


def test_the_error_of_a_job_is_raised_here(client: Any) -> None:
    one_class = TrainingSet(LATE.X, np.ones(len(LATE.y)), LATE.names, LATE.categories)
    with pytest.raises(ModelError, match="both 0 and 1 are needed") as caught:
        train_each(client, [Job("lightgbm", {}, one_class)])
    assert caught.value.hint.startswith("Train on a longer window")
    with pytest.raises(ConfigurationError, match=r"got parameters \['depth'\]"):
        train_each(client, [Job("lightgbm", {"depth": 1}, LATE)])


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_loses_no_training(client: Any) -> None:
    jobs = [Job("random_forest", {"n_estimators": 60, "seed": i, "n_jobs": 1}, LATE) for i in range(4)]
    assassin = Assassin(client, "fitted")
    found = assassin.during(lambda: train_each(client, jobs))
    assert assassin.early
    assert assassin.victim not in client.nthreads()
    assert found == [fitted(job) for job in jobs]


@pytest.mark.slow
def test_a_job_that_ends_its_worker_is_given_up() -> None:
    allowed = {"distributed.scheduler.allowed-failures": 0}
    with dask.config.set(allowed), cluster("", 1) as own:
        task = tasks.submit(own, os._exit, 9)
        with pytest.raises(ModelError, match="has ended its worker several times"):
            tasks.results(own, [task])


def test_tasks_that_do_not_end_are_given_up_after_the_limit(client: Any) -> None:
    with pytest.raises(ServiceError, match=r"not ready after 0\.5 s"):
        tasks.results(client, [tasks.submit(client, time.sleep, 5)], limit=0.5)
