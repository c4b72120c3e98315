"""LightGBM beyond classes: losses of a regression, groups and relevances of a ranking."""

import numpy as np
import pytest

from mlplatform.errors import ConfigurationError, ModelError
from mlplatform.stages.training.contract import Floats, Groups, TrainingSet
from mlplatform.stages.training.models import lightgbm


def ranked(
    rows: int = 2000, groups: Groups | None = None, relevance: Floats | None = None, seed: int = 0
) -> TrainingSet:
    random = np.random.default_rng(seed)
    X = random.normal(size=(rows, 3))
    groups = random.integers(0, rows // 10, rows) if groups is None else groups
    relevance = np.clip(np.round(X[:, 0] + X[:, 1] * X[:, 2]), 0, 3) if relevance is None else relevance
    return TrainingSet(X, relevance, ("a", "b", "c"), task="ranking", groups=groups)


def fitted(training: TrainingSet, **params: object) -> lightgbm.LightGBM:
    model = lightgbm.build(num_threads=1, num_iterations=20, **params).fit(training)
    assert isinstance(model, lightgbm.LightGBM)
    return model


def test_the_absolute_loss_learns_the_median_and_the_squared_one_the_mean() -> None:
    random = np.random.default_rng(0)
    y = random.exponential(10.0, 4000)
    training = TrainingSet(random.normal(size=(4000, 1)), y, ("a",), task="regression")
    absolute, squared = (fitted(training, objective=o).predict(training.X).mean() for o in ("l1", "l2"))
    assert absolute == pytest.approx(np.median(y), abs=0.7)
    assert squared == pytest.approx(y.mean(), abs=0.1)


def test_an_objective_of_another_name_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"got objective: 'huber'"):
        lightgbm.build(objective="huber")


def test_rows_of_a_group_need_not_be_adjacent() -> None:
    random = np.random.default_rng(1)
    shuffled = ranked()
    order = np.argsort(shuffled.queries, kind="stable")
    adjacent = TrainingSet(
        shuffled.X[order], shuffled.y[order], shuffled.names, {}, "ranking", shuffled.queries[order]
    )
    assert fitted(shuffled).files() == fitted(adjacent).files()
    mixed = ranked(groups=random.permutation(shuffled.queries))
    assert fitted(mixed).files() != fitted(shuffled).files()


def test_relevances_of_any_size_and_fraction_are_taken() -> None:
    base = ranked()
    for relevance in (base.X[:, 0] - base.X[:, 0].min(), base.y * 1000.0, base.y / 7):
        training = ranked(groups=base.queries, relevance=relevance)
        scores = fitted(training).predict(training.X)
        pairs = (training.queries[:, None] == training.queries[None, :]) & (
            relevance[:, None] > relevance[None, :]
        )
        assert (scores[:, None] > scores[None, :])[pairs].mean() > 0.8


def test_a_group_too_large_for_lightgbm_is_refused_in_our_words() -> None:
    rows = 10_001
    with pytest.raises(ModelError, match="LightGBM cannot learn") as caught:
        fitted(ranked(rows, groups=np.zeros(rows, dtype=np.int64)))
    assert "10,000" in caught.value.hint


def test_one_row_scores_as_many_through_the_fast_call() -> None:
    model = fitted(ranked())
    assert model.fast
    score, X = model.row_scorer(), ranked(seed=5).X
    assert np.array([score(row) for row in X.tolist()]).tobytes() == model.predict(X).tobytes()
