"""Trains one declared model in the parallel way its declaration names. It must not know how a way works."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlplatform.crosscutting.settings import Settings
from mlplatform.offline.distributed import ways
from mlplatform.offline.distributed.cluster import cluster
from mlplatform.stages.training.contract import Model, TrainingSet


@dataclass(frozen=True)
class ParallelEstimator:
    """An `Estimator` like those of the model files, whose `fit` trains on the deployment's workers."""

    kind: str
    params: Mapping[str, object]
    parallel: ways.Parallel
    workers: int
    settings: Settings

    def fit(self, training: TrainingSet) -> Model:
        """See `train`."""
        return train(self.kind, self.params, self.parallel, self.workers, training, self.settings)


def train(
    kind: str,
    params: Mapping[str, object],
    parallel: ways.Parallel,
    workers: int,
    training: TrainingSet,
    settings: Settings,
) -> Model:
    """The model of type `kind`, trained on `workers` workers of the deployment's Dask cluster.

    Raises
    ------
    ConfigurationError
        for a way that does not fit the type, wrong parameters, or without the extra `dask`.
    ModelError, ServiceError
        when it cannot be learned, or the workers do not end it.
    """
    ways.check(kind, parallel)
    with cluster(settings.dask, workers) as client:
        return trained(client, kind, params, parallel, workers, training, settings.dask_time_limit)


def trained(
    client: Any,
    kind: str,
    params: Mapping[str, object],
    parallel: ways.Parallel,
    workers: int,
    training: TrainingSet,
    limit: float,
) -> Model:
    """`train` on a client that is there."""
    ways.check(kind, parallel)
    # Imported here: Dagster reads this file to load a project, and LightGBM takes seconds to import.
    if parallel != "model":
        from mlplatform.offline.distributed import lightgbm_data

        return lightgbm_data.fit(client, params, training, parallel, workers, limit)
    if kind == "random_forest":
        from mlplatform.offline.distributed import forest

        return forest.fit(client, params, training, workers, limit)
    from mlplatform.offline.distributed import least_squares

    return least_squares.fit(client, kind, params, training, workers, limit)
