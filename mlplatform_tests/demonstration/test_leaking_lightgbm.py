"""The planted slow model: its scores are LightGBM's, and it is slow only after a while."""

import time

import numpy as np
import pytest

from mlplatform.demonstration import leaking_lightgbm
from mlplatform.errors import ModelError
from mlplatform.stages.training.contract import TrainingSet
from mlplatform.stages.training.models import lightgbm

PARAMS = {"num_iterations": 5, "num_threads": 1}


@pytest.fixture(scope="module")
def training() -> TrainingSet:
    random = np.random.default_rng(1)
    X = random.normal(size=(400, 3))
    return TrainingSet(X, (X[:, 0] > 0).astype(np.float64), names=("a", "b", "c"))


def test_it_is_lightgbm_to_the_bit_and_slow_after_so_many_answers(training: TrainingSet) -> None:
    fitted = leaking_lightgbm.build(after=3, seconds=0.05, **PARAMS).fit(training)
    model, plain = leaking_lightgbm.load(fitted.files()), lightgbm.build(**PARAMS).fit(training)
    rows = training.X[:5].tolist()
    score, times = model.row_scorer(), []
    for row, expected in zip(rows, plain.predict(training.X[:5]), strict=True):
        began = time.perf_counter()
        assert score(row) == expected
        times.append(time.perf_counter() - began)
    assert model.predict(training.X).tolist() == plain.predict(training.X).tolist()
    assert model.names == plain.names
    assert min(times[3:]) >= 0.05
    assert model.files() == fitted.files()


def test_files_of_another_model_are_refused(training: TrainingSet) -> None:
    with pytest.raises(ModelError, match="leak"):
        leaking_lightgbm.load(lightgbm.build(**PARAMS).fit(training).files())
