"""LightGBM on rows of two workers: a portable model, the same bytes each time, as good as the local one."""

import logging
import signal
from typing import Any, Literal

import lightgbm as library
import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, ndcg_score, roc_auc_score

from mlplatform.errors import ConfigurationError, ModelError
from mlplatform.offline.distributed import lightgbm_data
from mlplatform.stages.training.candidate import Metadata, assemble, open_model
from mlplatform.stages.training.contract import Model, TrainingSet
from mlplatform.stages.training.models import lightgbm
from mlplatform_tests.offline.distributed.flights import training_set
from mlplatform_tests.offline.distributed.killing import Assassin

Learner = Literal["data", "voting"]
LEARNERS: tuple[Learner, ...] = ("data", "voting")
PARAMS: dict[str, object] = {"num_iterations": 40, "feature_fraction": 0.8, "seed": 7}
LONG: dict[str, object] = {"num_iterations": 1500, "num_leaves": 63}
RUN = {"[local_listen_port: 12400]", "[machines: ]", "[num_machines: 1]", "[time_out: 120]"}


def parameters(model: Model) -> set[str]:
    """The lines of the text that say how it was trained."""
    return set(model.files()["model.txt"].decode().partition("\nparameters:")[2].splitlines())


@pytest.mark.parametrize("learner", LEARNERS)
def test_classes_are_told_apart_as_well_as_by_the_local_model(client: Any, learner: Learner) -> None:
    data, later = training_set(rows=20_000), training_set(rows=5000, skip=20_000)
    found = lightgbm_data.fit(client, PARAMS, data, learner)
    local = lightgbm.build(**PARAMS).fit(data)
    assert found.names == data.names
    auc, reference = (roc_auc_score(later.y, model.predict(later.X)) for model in (found, local))
    assert auc > reference - 0.01
    assert parameters(local) - parameters(found) == RUN | {"[tree_learner: serial]"}
    assert parameters(found) - parameters(local) == {f"[tree_learner: {learner}]"}


@pytest.mark.parametrize("learner", LEARNERS)
def test_numbers_are_as_near_as_the_local_model_s(client: Any, learner: Learner) -> None:
    data, later = training_set("regression"), training_set("regression", 5000, 20_000)
    told = PARAMS | {"objective": "l1"}
    found = lightgbm_data.fit(client, told, data, learner)
    local = lightgbm.build(**told).fit(data)
    error, reference = (mean_absolute_error(later.y, model.predict(later.X)) for model in (found, local))
    assert error < 1.01 * reference


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_ranking_keeps_its_groups_whole(client: Any, learner: Learner) -> None:
    data = training_set("ranking", 8000)
    found = lightgbm_data.fit(client, PARAMS, data, learner)
    assert mean_ndcg(found, data) > mean_ndcg(None, data) + 0.05


def mean_ndcg(model: Model | None, data: TrainingSet) -> float:
    """Of the groups with two rows or more; without a model, of scores that are all the same."""
    scores = np.zeros(len(data.y)) if model is None else model.predict(data.X)
    groups = [data.queries == group for group in np.unique(data.queries)]
    return float(np.mean([ndcg_score([data.y[g]], [scores[g]]) for g in groups if g.sum() > 1]))


@pytest.mark.parametrize("learner", LEARNERS)
def test_the_same_rows_give_the_same_bytes(client: Any, learner: Learner) -> None:
    data = training_set(rows=5000)
    texts = {lightgbm_data.fit(client, PARAMS, data, learner).files()["model.txt"] for _ in range(5)}
    assert len(texts) == 1


def test_the_model_is_a_candidate_like_any_other(client: Any) -> None:
    data = training_set(rows=5000)
    found = lightgbm_data.fit(client, PARAMS, data, "data")
    made = assemble("flights", "lightgbm", PARAMS, found, data, b"{}", Metadata(len(data.y), 0.2))
    assert np.array_equal(open_model(made).predict(data.X), found.predict(data.X))


def test_a_worker_with_one_class_only_keeps_its_labels(client: Any) -> None:
    """Every row of worker 1 has label 1; a label encoder of its own would call it 0."""
    data = training_set(rows=4000)
    y = data.y.copy()
    y[1::2] = 1.0
    twisted = TrainingSet(data.X, y, data.names, data.categories)
    found = lightgbm_data.fit(client, PARAMS, twisted, "data")
    assert abs(found.predict(data.X).mean() - y.mean()) < 0.02


def test_rows_are_divided_evenly_and_groups_are_not(client: Any) -> None:
    del client
    data = training_set("ranking", 900)
    rows = library.Dataset(data.X, data.y, group=np.array([400, 300, 200]))
    first, second = lightgbm_data.parts(rows, 2)
    assert (first.sizes.tolist(), second.sizes.tolist()) == ([400, 200], [300])  # type: ignore[union-attr]
    assert np.array_equal(second.X, data.X[400:700], equal_nan=True)
    plain = lightgbm_data.parts(library.Dataset(data.X, data.y), 3)
    assert [len(part.y) for part in plain] == [300, 300, 300]
    assert np.array_equal(plain[2].y, data.y[2::3])
    with pytest.raises(ModelError, match="got 3 groups to train on 4 workers"):
        lightgbm_data.parts(rows, 4)


def test_what_local_training_refuses_is_refused(client: Any) -> None:
    with pytest.raises(ConfigurationError, match="got parameters"):
        lightgbm_data.fit(client, {"tree_learner": "feature"}, training_set(rows=500), "data")
    data = training_set(rows=500)
    named = TrainingSet(data.X, data.y, ("an hour", *data.names[1:]), data.categories)
    with pytest.raises(ConfigurationError, match="got feature names"):
        lightgbm_data.fit(client, PARAMS, named, "data")


@pytest.mark.slow
@pytest.mark.parametrize("learner", LEARNERS)
def test_a_worker_killed_in_the_middle_is_trained_without(
    client: Any, learner: Learner, caplog: pytest.LogCaptureFixture
) -> None:
    data = training_set(rows=20_000)
    assassin = Assassin(client, "_train_part", cpu=0.5)
    with caplog.at_level(logging.WARNING):
        found = assassin.during(lambda: lightgbm_data.fit(client, LONG, data, learner, limit=120))
    assert assassin.early
    assert assassin.victim not in client.nthreads()
    assert "starts again (attempt 2)" in caplog.text
    assert found.files() == lightgbm_data.fit(client, LONG, data, learner).files()


@pytest.mark.slow
def test_a_worker_that_hangs_is_started_anew_after_the_limit(
    client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    data = training_set(rows=20_000)
    assassin = Assassin(client, "_train_part", sent=signal.SIGSTOP)
    with caplog.at_level(logging.WARNING):
        found = assassin.during(lambda: lightgbm_data.fit(client, LONG, data, "data", limit=60))
    assert assassin.early
    assert assassin.victim not in client.nthreads()
    assert "not ready after 60 s" in caplog.text
    assert found.files() == lightgbm_data.fit(client, LONG, data, "data").files()
