"""The recommender: against hand-computed values, the normal equations and ratings with a known structure."""

from typing import Any

import numpy as np
import pytest

from mlplatform.errors import ConfigurationError, ModelError
from mlplatform.stages.training.contract import MISSING, UNKNOWN, Floats, Model, TrainingSet
from mlplatform.stages.training.models import recommender

NAMES, CODES = ("user", "item", "hour"), {"user": 40, "item": 25}


def ratings(rows: int = 6000, noise: float = 0.3, seed: int = 0) -> tuple[TrainingSet, Floats]:
    """Ratings of two tastes beside biases, and what they are without noise."""
    random = np.random.default_rng(seed)
    taste, kind = (
        np.random.default_rng(99).normal(size=(40, 2)),
        np.random.default_rng(98).normal(size=(25, 2)),
    )
    users, items = random.integers(0, 40, rows), random.integers(0, 25, rows)
    truth = 3.0 + taste[users, 0] * kind[items, 0] + taste[users, 1] * kind[items, 1] + 0.05 * users
    X = np.column_stack([users, items, random.integers(0, 24, rows)]).astype(np.float64)
    y = truth + noise * random.normal(size=rows)
    return TrainingSet(X, y, NAMES, CODES, "regression"), truth


def build(**told: Any) -> Any:
    return recommender.build(**{"user": ["user"], "item": ["item"], **told})


def error(model: Model, training: TrainingSet, truth: Floats) -> float:
    return float(np.sqrt(((model.predict(training.X) - truth) ** 2).mean()))


def test_one_user_and_one_item_by_hand() -> None:
    # Mean 2; the user's bias is (1 + 3 - 2 * 2) / (2 + l2) = 0 and so on: two items a unit either side.
    X = np.array([[0.0, 0.0], [0.0, 1.0]])
    training = TrainingSet(X, np.array([1.0, 3.0]), ("user", "item"), {"user": 1, "item": 2}, "regression")
    model = build(factors=0, l2_bias=1.0, sweeps=1).fit(training)
    assert model.predict(X).tolist() == pytest.approx([2 - 1 / 2, 2 + 1 / 2])


def test_factors_find_what_biases_cannot() -> None:
    training, _ = ratings()
    fresh, truth = ratings(seed=5)
    biases = error(build(factors=0).fit(training), fresh, truth)
    factors = error(build(factors=2, l2_factors=1.0).fit(training), fresh, truth)
    assert biases > 1.0
    assert factors < 0.15


def test_more_sweeps_do_not_raise_what_is_minimised() -> None:
    training, _ = ratings(1500)
    losses = []
    for sweeps in (1, 2, 4, 8):
        model = build(factors=3, sweeps=sweeps, l2_bias=2.0, l2_factors=3.0).fit(training)
        users, items = model._users, model._items
        penalty = 2.0 * ((users[:, 0] ** 2).sum() + (items[:, 0] ** 2).sum())
        penalty += 3.0 * ((users[:, 1:] ** 2).sum() + (items[:, 1:] ** 2).sum())
        losses.append(((training.y - model.predict(training.X)) ** 2).sum() + penalty)
    assert losses == sorted(losses, reverse=True)


def test_whoever_is_unknown_adds_nothing() -> None:
    training, _ = ratings(500)
    kept = training.X[:, 0] != 7
    training = TrainingSet(
        np.ascontiguousarray(training.X[kept]), training.y[kept], NAMES, CODES, "regression"
    )
    model = build(factors=2).fit(training)
    row = [3.0, 4.0, 0.0]
    mean, item = float(training.y.mean()), float(model._items[4, 0])
    for stranger in (UNKNOWN, MISSING, float("nan"), 7.0, 400.0):
        assert model.row_scorer()([stranger, *row[1:]]) == mean + 0.0 + item
    assert model.row_scorer()([UNKNOWN, UNKNOWN, 0.0]) == mean


def test_several_features_are_crossed() -> None:
    random = np.random.default_rng(0)
    X = random.integers(0, 3, size=(2000, 3)).astype(np.float64)
    y = np.where(X[:, 0] == X[:, 1], 5.0, 0.0) + X[:, 2]
    training = TrainingSet(X, y, ("a", "b", "c"), {"a": 3, "b": 3, "c": 3}, "regression")
    crossed = recommender.build(user=["a", "b"], item=["c"], factors=0, l2_bias=0.01).fit(training)
    single = recommender.build(user=["a"], item=["c"], factors=0, l2_bias=0.01).fit(training)
    assert error(crossed, training, y) < 0.01
    assert error(single, training, y) > 2.0
    assert crossed.row_scorer()([0.0, MISSING, 1.0]) == pytest.approx(single.predict(X).mean(), abs=0.2)


def test_another_seed_gives_other_factors_and_about_the_same_scores() -> None:
    training, _ = ratings()
    one, two = (build(factors=2, seed=seed, sweeps=30).fit(training) for seed in (0, 1))
    assert one.files() != two.files()
    assert error(one, training, two.predict(training.X)) < 0.02


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"user": []}, r"got user: \[\]; allowed: one or more different of user, item"),
        ({"item": ["item", "item"]}, "one or more different"),
        ({"item": ["hour"]}, r"got item: \['hour'\]"),
        ({"item": ["film"]}, "got feature 'film'"),
    ],
)
def test_features_that_tell_nobody_are_refused(told: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        build(**told).fit(ratings(100)[0])
    assert caught.value.hint


def test_rows_of_strangers_only_are_refused() -> None:
    training, _ = ratings(100)
    training.X[:, 0] = UNKNOWN
    with pytest.raises(ModelError, match="none with a known user and a known item"):
        build().fit(training)


def test_a_damaged_table_is_refused() -> None:
    files = build(factors=2).fit(ratings(500)[0]).files()
    with pytest.raises(ModelError, match=r"items\.npy"):
        recommender.load(files | {"items.npy": files["users.npy"]})
    with pytest.raises(ModelError, match="not in order"):
        recommender.load(files | {"model.json": files["model.json"].replace(b"[0,1,2", b"[1,0,2")})
