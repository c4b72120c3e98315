"""The call of the training asset: a declared way, on the deployment's workers."""

from pathlib import Path
from typing import Any

import pytest

from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import ConfigurationError
from mlplatform.offline.distributed.train import ParallelEstimator
from mlplatform.stages.training import checkpoints
from mlplatform.stages.training.models import random_forest
from mlplatform_tests.offline.distributed.flights import training_set


def settings(home: Path, **values: str) -> Settings:
    return Settings.load({"MLPLATFORM_HOME": str(home), **values})


def test_the_estimator_trains_on_the_workers_of_the_settings(client: Any, tmp_path: Path) -> None:
    told = settings(tmp_path, MLPLATFORM_DASK=client.scheduler.address, MLPLATFORM_DASK_TIME_LIMIT="600")
    data, params = training_set(rows=2000), {"n_estimators": 4}
    found = checkpoints.fit(
        ParallelEstimator("random_forest", params, "model", 2, told), data, checkpoints.Unkept()
    )
    assert found.files() == random_forest.build(**params).fit(data).files()


def test_a_way_that_does_not_fit_is_refused_before_a_cluster_starts(tmp_path: Path) -> None:
    told = settings(tmp_path, MLPLATFORM_DASK="tcp://127.0.0.1:9")
    with pytest.raises(ConfigurationError, match="got parallel: data for random_forest"):
        ParallelEstimator("random_forest", {}, "data", 2, told).fit(training_set(rows=100))


@pytest.mark.parametrize("limit", ["0", "1h", "-1"])
def test_a_time_limit_is_whole_seconds(limit: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="MLPLATFORM_DASK_TIME_LIMIT"):
        settings(tmp_path, MLPLATFORM_DASK_TIME_LIMIT=limit)
