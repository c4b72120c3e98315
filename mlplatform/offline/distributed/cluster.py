"""The Dask cluster of one training: started here for it, or an existing scheduler. It must not train.

Dask carries functions and rows between its own processes as pickles, so that whoever reaches a scheduler can
run code there: ours listens on 127.0.0.1 only, and an existing one has to be in a network you trust.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryDirectory
from typing import Any

from mlplatform.errors import ConfigurationError, ServiceError

_START = 60
"""Seconds within which a scheduler has to answer and its workers have to be there."""
_CONFIG = {
    "distributed.worker.multiprocessing-method": "spawn",
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.nanny.pre-spawn-environ": {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    # After 15 s the cluster would forget a worker whose process is being started anew on a busy machine.
    "distributed.deploy.lost-worker-timeout": "10 minutes",
    # The rows travel inside the tasks on purpose: a scattered copy is gone with the worker that held it.
    "distributed.admin.large-graph-warning-threshold": "1TiB",
}


def imported() -> Any:
    """The module `distributed`; ConfigurationError without the extra `dask`."""
    try:
        import distributed
    except ImportError as error:
        raise ConfigurationError(
            f"parallel training needs Dask, which is not installed: {error}.",
            hint="Run: pip install mlplatform[dask], or remove `parallel` from the model.",
        ) from error
    return distributed


@contextmanager
def cluster(address: str = "", workers: int = 2) -> Iterator[Any]:
    """A `distributed.Client` with at least `workers` workers, closed at the end.

    Without an address that many processes are started here: spawned, one thread each, on 127.0.0.1, without a
    dashboard or a memory limit. An address such as tcp://host:8786 is a scheduler that others run.

    Raises
    ------
    ConfigurationError
        without the extra `dask`, or for an address that is none.
    ServiceError
        when the scheduler does not answer, or has too few workers.
    """
    distributed = imported()
    import dask

    with ExitStack() as closing:
        closing.enter_context(dask.config.set(_CONFIG))
        if not address:
            closing.enter_context(_same_environment())
            address = closing.enter_context(_local(distributed, workers)).scheduler_address
        client = closing.enter_context(_connected(distributed, address))
        try:
            client.wait_for_workers(workers, timeout=_START)
        except TimeoutError as error:
            raise ServiceError(
                f"{address} has {len(client.nthreads())} workers after {_START} s; {workers} are asked for.",
                hint="Start more workers on that scheduler, or lower `workers` of the model.",
            ) from error
        yield client


@contextmanager
def _local(distributed: Any, workers: int) -> Iterator[Any]:
    with (
        TemporaryDirectory(prefix="mlplatform-dask-") as folder,
        distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
            dashboard_address=None,
            memory_limit=0,
            local_directory=folder,
        ) as started,
    ):
        yield started


def _connected(distributed: Any, address: str) -> Any:
    try:
        return distributed.Client(address, timeout=_START, set_as_default=False)
    except ValueError as error:
        raise ConfigurationError(
            f"MLPLATFORM_DASK is {address!r}: {error}.",
            hint="Write it as tcp://host:8786, or leave it empty for workers on this machine.",
        ) from error
    except OSError as error:
        raise ServiceError(
            f"no Dask scheduler answers at {address}.",
            hint="Start one with `dask scheduler`, or unset MLPLATFORM_DASK for workers on this machine.",
        ) from error


@contextmanager
def _same_environment() -> Iterator[None]:
    """Dask sets the workers' thread counts in this process and leaves them there; they are put back."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)
