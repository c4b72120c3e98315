"""One cluster of two worker processes for all tests of this folder: a killed worker is started anew."""

from collections.abc import Iterator
from typing import Any

import pytest

from mlplatform.offline.distributed.cluster import cluster


@pytest.fixture(scope="session")
def dask_client() -> Iterator[Any]:
    with cluster("", 2) as client:
        yield client


@pytest.fixture
def client(dask_client: Any) -> Any:
    """With both workers there."""
    dask_client.wait_for_workers(2, timeout=60)
    return dask_client
