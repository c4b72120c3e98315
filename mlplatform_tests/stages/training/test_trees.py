"""Trees kept as arrays: they score as scikit-learn's, and arrays that would not end a walk are refused."""

import msgspec
import numpy as np
import pytest
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeRegressor
from threadpoolctl import threadpool_limits

from mlplatform.errors import ConfigurationError, ModelError
from mlplatform.stages.training.contract import MISSING, UNKNOWN, Floats, Task, TrainingSet
from mlplatform.stages.training.models import (
    _histogram,
    _trees,
    decision_tree,
    histogram_gradient_boosting,
    random_forest,
)
from mlplatform.stages.training.models._trees import Codes, Tree

NAMES = ("carrier", "delay", "a", "b")


def training_set(task: Task = "regression", rows: int = 3000, seed: int = 0) -> TrainingSet:
    """The category matters and its order does not, so that a split by codes pays."""
    random = np.random.default_rng(seed)
    X = np.column_stack([random.integers(MISSING, 9, rows), random.normal(size=(rows, 3))])
    X[:, 1:][random.random((rows, 3)) < 0.1] = np.nan
    z = np.nan_to_num(X)
    y = np.where(X[:, 0] % 3 == 1, 2.0, -1.0) + z[:, 1] * z[:, 2] + random.normal(size=rows) / 4
    return TrainingSet(
        X, (y > 0).astype(np.float64) if task == "classification" else y, NAMES, {"carrier": 9}, task
    )


def few_values(data: TrainingSet) -> Floats:
    """Fewer values than bins, so that binning changes nothing."""
    return np.ascontiguousarray(np.round(np.clip(data.X, MISSING, [9, 2, 2, 2])))


def test_the_regression_tree_is_the_one_of_scikit_learn() -> None:
    data = training_set()
    X = few_values(data)
    model = decision_tree.build(max_depth=6, min_samples_leaf=20).fit(
        TrainingSet(X, data.y, NAMES, data.categories, "regression")
    )
    theirs = DecisionTreeRegressor(max_depth=6, min_samples_leaf=20, random_state=0).fit(X, data.y)
    np.testing.assert_allclose(model.predict(X), theirs.predict(X), rtol=1e-12)


def test_the_forest_is_the_one_of_scikit_learn() -> None:
    data = training_set()
    X = few_values(data)
    given = {
        "n_estimators": 15,
        "max_depth": 6,
        "min_samples_leaf": 9,
        "max_features": 0.5,
        "max_samples": 0.7,
    }
    model = random_forest.build(**given, n_jobs=1, seed=4).fit(
        TrainingSet(X, data.y, NAMES, data.categories, "regression")
    )
    theirs = RandomForestRegressor(**given, random_state=4).fit(X, data.y)
    np.testing.assert_allclose(model.predict(X), theirs.predict(X), rtol=1e-13)


def test_threads_do_not_change_the_forest() -> None:
    one, two = (random_forest.build(n_estimators=8, n_jobs=n).fit(training_set()).files() for n in (1, 2))
    assert one == two


def test_another_seed_gives_another_forest() -> None:
    one, two = (random_forest.build(n_estimators=3, seed=s).fit(training_set()).files() for s in (1, 2))
    assert one != two


def test_boosting_scores_as_scikit_learn_to_the_bit_in_regression() -> None:
    data = training_set()
    model = histogram_gradient_boosting.build(max_iter=40).fit(data)
    X = np.where(data.X < -0.5, np.where(np.arange(4) == 0, np.nan, data.X), data.X)
    theirs = HistGradientBoostingRegressor(
        max_iter=40, early_stopping=False, categorical_features=[0], random_state=0
    )
    with threadpool_limits(1):
        expected = theirs.fit(X, data.y).predict(X)
    assert model.predict(data.X).tobytes() == expected.tobytes()


def test_boosting_scores_as_scikit_learn_in_classification() -> None:
    data = training_set("classification")
    model = histogram_gradient_boosting.build(max_iter=40).fit(data)
    X = np.where(data.X < -0.5, np.where(np.arange(4) == 0, np.nan, data.X), data.X)
    theirs = HistGradientBoostingClassifier(
        max_iter=40, early_stopping=False, categorical_features=[0], random_state=0
    )
    with threadpool_limits(1):
        expected = theirs.fit(X, data.y).predict_proba(X)[:, 1]
    np.testing.assert_allclose(model.predict(data.X), expected, rtol=1e-12)


def test_boosting_parts_a_category_by_its_codes() -> None:
    data = training_set()
    saved = msgspec.json.decode(histogram_gradient_boosting.build(max_iter=1).fit(data).files()["model.json"])
    root = saved["trees"][0]["codes"]["0"]
    assert sorted(map(sorted, (root["left"], root["right"]))) == [[0, 2, 3, 5, 6, 8], [1, 4, 7]]


def test_unseen_and_missing_codes_go_the_same_way_in_boosting() -> None:
    score = histogram_gradient_boosting.build(max_iter=20).fit(training_set()).row_scorer()
    assert len({score([code, 0.3, 0.1, -0.2]) for code in (UNKNOWN, MISSING, 9.0, 1e9, np.nan)}) == 1


def test_rare_codes_of_a_large_category_count_as_missing() -> None:
    random = np.random.default_rng(0)
    X = np.column_stack([random.integers(0, 900, 4000), random.normal(size=4000)])
    data = TrainingSet(X, X[:, 1] + X[:, 0] % 2, ("tail", "a"), {"tail": 900}, "regression")
    encoded = _histogram.encode(data, most=200)
    assert len(encoded.codes[0]) == 200
    assert np.nanmax(encoded.X[:, 0]) == 199.0
    histogram_gradient_boosting.build(max_iter=5, max_bins=200).fit(data)


def test_boosting_checks_that_it_read_the_trees_right() -> None:
    data = training_set()
    encoded = _histogram.encode(data, most=255)
    with threadpool_limits(1):
        fitted = _histogram.fit(data, encoded, {"max_iter": 3})
    with pytest.raises(ModelError, match="do not score as it does"):
        _histogram.check_agrees(fitted, encoded, data, lambda X: np.zeros(len(X)))


def test_a_poisson_loss_gives_positive_numbers_and_refuses_negative_labels() -> None:
    data = training_set()
    counts = TrainingSet(data.X, np.floor(data.y - data.y.min()), NAMES, data.categories, "regression")
    assert (
        histogram_gradient_boosting.build(loss="poisson", max_iter=10).fit(counts).predict(data.X) > 0
    ).all()
    with pytest.raises(ConfigurationError, match="poisson"):
        histogram_gradient_boosting.build(loss="poisson").fit(data)


STUMP = Tree([0, 0, 0], [1.0, 0.0, 0.0], [True, False, False], [1, 1, 2], [2, 1, 2], [0.0, -1.0, 1.0])


def test_a_walk_by_number_and_by_code() -> None:
    by_code = msgspec.structs.replace(STUMP, codes={0: Codes([2], [0, 1])})
    X = np.array([[0.0], [1.0], [2.0], [np.nan], [UNKNOWN], [7.0]])
    for tree, expected in ((STUMP, [-1, -1, 1, -1, -1, 1]), (by_code, [1, 1, -1, -1, -1, -1])):
        assert _trees.sums([_trees.Walker(tree)], 0.0, X, ["a"]).tolist() == expected
        score = _trees.summer([tree], 0.0, ["a"])
        assert [score(row) for row in X.tolist()] == expected


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("left", [0, 1, 2], "points nowhere"),
        ("right", [3, 1, 2], "points nowhere"),
        ("feature", [1, 0, 0], "points nowhere"),
        ("threshold", [1.0], "differ in length"),
        ("codes", {0: Codes([-1], [])}, "negative"),
        ("codes", {9: Codes([1], [])}, "no node"),
    ],
)
def test_arrays_that_are_no_tree_are_refused(field: str, value: object, message: str) -> None:
    _trees.check(STUMP, 1)
    with pytest.raises(ValueError, match=message):
        _trees.check(msgspec.structs.replace(STUMP, **{field: value}), 1)
