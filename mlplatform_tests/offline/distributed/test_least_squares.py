"""Linear models from blocks of columns: the local model's scores, also when a worker dies."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from mlplatform.errors import ConfigurationError
from mlplatform.offline.distributed import least_squares
from mlplatform.stages.training.contract import TrainingSet
from mlplatform.stages.training.models import linear_regression, ridge_regression
from mlplatform_tests.offline.distributed.flights import training_set
from mlplatform_tests.offline.distributed.killing import Assassin

KINDS = {"linear_regression": linear_regression, "ridge_regression": ridge_regression}


def distance(kind: str, client: Any, data: TrainingSet, params: Mapping[str, object]) -> float:
    """Largest difference of two models' scores, relative to the labels' spread."""
    found = least_squares.fit(client, kind, params, data)
    local = KINDS[kind].build(**params).fit(data)
    assert found.names == local.names
    return float(np.abs(found.predict(data.X) - local.predict(data.X)).max() / data.y.std())


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_the_local_model(client: Any, kind: str) -> None:
    assert distance(kind, client, training_set("regression", 10_000), {}) < 1e-9
    few = {"max_rows": 500, "max_levels": 3}
    assert distance(kind, client, training_set("regression", 2000), few) < 1e-9


def test_columns_that_depend_on_each_other_get_the_local_weights(client: Any) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(400, 3))
    X = np.column_stack([x, x[:, 0] + x[:, 1], np.ones(400), np.full(400, np.nan)])
    data = TrainingSet(X, x @ [1.0, 2.0, 3.0] + random.normal(size=400), tuple("abcdef"), {}, "regression")
    found = least_squares.fit(client, "linear_regression", {}, data)
    local = linear_regression.build().fit(data)
    other = np.ascontiguousarray(random.normal(size=(50, 6)))
    np.testing.assert_allclose(found.predict(other), local.predict(other), rtol=0, atol=1e-9)


def test_the_same_rows_give_the_same_bytes(client: Any) -> None:
    data = training_set("regression", 3000)
    first, second = (least_squares.fit(client, "ridge_regression", {}, data).files() for _ in range(2))
    assert first == second


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_killed_in_the_middle_changes_no_byte(client: Any, kind: str) -> None:
    random = np.random.default_rng(1)
    X = random.normal(size=(60_000, 40))
    data = TrainingSet(
        X, X[:, 0] + random.normal(size=60_000), tuple(f"x{i}" for i in range(40)), {}, "regression"
    )
    assassin = Assassin(client, "block", cpu=0.05)
    found = assassin.during(lambda: least_squares.fit(client, kind, {}, data))
    assert assassin.early
    assert assassin.victim not in client.nthreads()
    assert found.files() == least_squares.fit(client, kind, {}, data).files()
    np.testing.assert_allclose(found.predict(X), KINDS[kind].build().fit(data).predict(X), rtol=0, atol=1e-9)


def test_an_array_at_an_odd_address_gives_the_same_products() -> None:
    random = np.random.default_rng(2)
    made, other = (np.asfortranarray(random.normal(size=(3000, width))) for width in (7, 5))
    memory = memoryview(bytearray(3) + bytearray(made.tobytes("F")))[3:]
    moved = np.frombuffer(memory).reshape(made.shape, order="F")
    assert not moved.flags.aligned
    here: least_squares.Block = ([], made, np.zeros(7))
    there: least_squares.Block = ([], moved, np.zeros(7))
    right: least_squares.Block = ([], other, np.zeros(5))
    assert np.array_equal(least_squares.square(here), least_squares.square(there))
    assert np.array_equal(least_squares.product(here, right), least_squares.product(there, right))
    assert np.array_equal(least_squares.moment(here, other[:, 0]), least_squares.moment(there, other[:, 0]))


def test_another_task_is_refused(client: Any) -> None:
    with pytest.raises(ConfigurationError, match="got task 'classification'"):
        least_squares.fit(client, "ridge_regression", {}, training_set(rows=500))
