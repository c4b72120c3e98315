"""Independent tasks on the workers, and their results in order. It must not know a model.

A worker that dies loses its tasks and their inputs; the scheduler runs them again elsewhere. That needs what
they work on to be in the tasks themselves, so nothing is scattered: rows are the argument of a task, `held`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlplatform import plugins
from mlplatform.errors import ModelError, ServiceError
from mlplatform.offline.distributed.cluster import imported
from mlplatform.stages.training import models
from mlplatform.stages.training.contract import TrainingSet

LIMIT = 3600.0
"""Seconds that the parts of a training may take, unless the caller says otherwise."""
_ALONE = 60.0
"""Seconds to wait for a worker when there is none."""


@dataclass(frozen=True, eq=False)
class Job:
    """One training of its own: a model file's name, its parameters, and what to learn from."""

    kind: str
    params: Mapping[str, object]
    training: TrainingSet


def train_each(client: Any, jobs: Sequence[Job], limit: float = LIMIT) -> list[dict[str, bytes]]:
    """The `Model.files()` of each job, in order; every worker trains one at a time.

    Raises
    ------
    ConfigurationError, ModelError
        what the first job that fails raises; ModelError when a job has ended its worker several times.
    ServiceError
        when no worker is left, or the limit of seconds has passed.
    """
    return results(client, [submit(client, fitted, job) for job in jobs], limit)


def fitted(job: Job) -> dict[str, bytes]:
    """The files of the job's model, trained in this process."""
    estimator = plugins.find(models, job.kind).build(**job.params)
    files: dict[str, bytes] = estimator.fit(job.training).files()
    return files


def held(value: Any) -> Any:
    """`value`, as a task whose result other tasks share and that can be made again."""
    return value


def submit(client: Any, function: Callable[..., Any], *arguments: Any) -> Any:
    """The future of one call; never answered from an earlier one."""
    return client.submit(function, *arguments, pure=False)


def results(client: Any, futures: Sequence[Any], limit: float = LIMIT) -> list[Any]:
    """What the futures hold, in order; the errors are those of `train_each`."""
    distributed = imported()
    try:
        _wait(client, futures, limit)
        found: list[Any] = client.gather(list(futures))
    except distributed.KilledWorker as error:
        raise ModelError(
            f"a part of the training has ended its worker several times: {error}.",
            hint="The worker may run out of memory: take fewer rows or fewer workers a machine.",
        ) from error
    finally:
        client.cancel(list(futures), force=True)
    return found


def _wait(client: Any, futures: Sequence[Any], limit: float) -> None:
    started = seen = time.monotonic()
    while any(future.status == "pending" for future in futures):
        time.sleep(0.05)
        now = time.monotonic()
        if now - seen > 1.0 and client.nthreads():
            seen = now
        if now - seen > _ALONE:
            raise ServiceError(
                "no Dask worker is left to train on.", hint="Start workers on the scheduler and train again."
            )
        if now - started > limit:
            raise ServiceError(
                f"the parts of the training were not ready after {limit:g} s.",
                hint="Raise MLPLATFORM_DASK_TIME_LIMIT (seconds), or take more workers.",
            )
