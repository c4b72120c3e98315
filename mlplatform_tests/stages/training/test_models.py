"""What single models hold beyond the contract: agreement with the fitting libraries, determinism."""

import math

import lightgbm
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression as SklearnLogistic
from sklearn.tree import DecisionTreeClassifier

from mlplatform.errors import ConfigurationError, ModelError
from mlplatform.stages.training.contract import MISSING, UNKNOWN, TrainingSet
from mlplatform.stages.training.models import decision_tree, logistic_regression, rate_table
from mlplatform.stages.training.models import lightgbm as lightgbm_model
from mlplatform.stages.training.models._lightgbm_fast import agrees, fast_scorer
from mlplatform.stages.training.models._numbers import sigmoid, sigmoids, slot, slots, spaced


def training_set(rows: int = 4000, missing: float = 0.1, seed: int = 0) -> TrainingSet:
    random = np.random.default_rng(seed)
    X = np.column_stack(
        [random.integers(MISSING, 6, rows), random.normal(100, 30, rows), random.normal(size=(rows, 3))]
    )
    logit = 0.4 * X[:, 0] + 0.02 * (X[:, 1] - 100) + X[:, 2] * X[:, 3] - 1
    X[:, 1:][random.random((rows, 4)) < missing] = np.nan
    y = (random.random(rows) < 1 / (1 + np.exp(-logit))).astype(np.float64)
    return TrainingSet(X, y, ("carrier", "delay", "a", "b", "c"), {"carrier": 6})


def test_lightgbm_learns_the_same_with_one_thread_and_with_two() -> None:
    one, two = (
        lightgbm_model.build(num_threads=threads, bagging_fraction=0.7, bagging_freq=1, feature_fraction=0.6)
        .fit(training_set(20_000))
        .files()
        for threads in (1, 2)
    )
    assert one == two


def test_another_seed_gives_another_lightgbm() -> None:
    first, second = (
        lightgbm_model.build(seed=seed, feature_fraction=0.5, num_iterations=5).fit(training_set()).files()
        for seed in (0, 1)
    )
    assert first != second


def test_lightgbm_scores_as_the_booster_of_its_text() -> None:
    data = training_set()
    model = lightgbm_model.build(num_iterations=30).fit(data)
    booster = lightgbm.Booster(model_str=model.files()["model.txt"].decode())
    assert model.predict(data.X).tobytes() == booster.predict(data.X).tobytes()


def test_the_fast_call_is_in_use_and_the_slow_one_gives_the_same_bits() -> None:
    data = training_set()
    model = lightgbm_model.build(num_iterations=30).fit(data)
    assert isinstance(model, lightgbm_model.LightGBM)
    assert model.fast
    fast = model.row_scorer()
    model.fast = False
    assert agrees(fast, model.row_scorer(), data.X[:1000].tolist())


def test_a_fast_scorer_that_differs_would_be_seen() -> None:
    assert not agrees(lambda row: 0.1 + 0.2, lambda row: 0.3, [[0.0]])


def test_a_library_without_the_fast_call_gives_no_scorer() -> None:
    class Stranger:
        """A booster that keeps no handle."""

    assert fast_scorer(Stranger(), ["a"]) is None  # type: ignore[arg-type]


def test_a_scorer_outlives_its_model() -> None:
    data = training_set()
    model = lightgbm_model.build(num_iterations=5).fit(data)
    expected = model.predict(data.X[:50])
    score = model.row_scorer()
    del model
    assert np.array([score(row) for row in data.X[:50].tolist()]).tobytes() == expected.tobytes()


def test_lightgbm_refuses_names_it_would_change() -> None:
    data = training_set()
    renamed = TrainingSet(data.X, data.y, ("carrier", "de lay", "a", "b", "c"), data.categories)
    with pytest.raises(ConfigurationError, match="de lay"):
        lightgbm_model.build().fit(renamed)


def test_the_tree_is_the_one_of_scikit_learn() -> None:
    """On features with fewer values than bins, binning changes nothing: leaves and rates agree exactly."""
    data = training_set(missing=0.0)
    X = np.round(data.X / np.array([1, 10, 0.5, 0.5, 0.5]))
    X[::9, 2] = np.nan
    ours = decision_tree.build(max_depth=5, min_samples_leaf=20)
    model = ours.fit(TrainingSet(X, data.y, data.names, data.categories))
    theirs = DecisionTreeClassifier(max_depth=5, min_samples_leaf=20, random_state=0).fit(X, data.y)
    np.testing.assert_array_equal(model.predict(X), theirs.predict_proba(X)[:, 1])


def test_a_tree_that_never_ends_is_refused() -> None:
    saved = (
        b'{"kind":"decision_tree","names":["a"],"feature":[0,0],"threshold":[0,0],"missing_left":[true,true],'
    )
    saved += b'"left":[1,0],"right":[1,0],"rate":[0.1,0.2]}'
    with pytest.raises(ModelError, match="points nowhere"):
        decision_tree.load({"model.json": saved})


def test_the_linear_model_is_the_one_of_scikit_learn() -> None:
    """The same design matrix by hand, another solver: probabilities agree to the solver's tolerance."""
    data = training_set()
    columns = [(data.X[:, 0] == code).astype(float) for code in (*range(6), MISSING, UNKNOWN)]
    for x in data.X[:, 1:].T:
        absent = np.isnan(x)
        filled = np.where(absent, np.nanmedian(x), x)
        columns += [(filled - filled.mean()) / filled.std(), absent.astype(float)]
    design = np.column_stack(columns)
    theirs = SklearnLogistic(C=1.0, solver="lbfgs", tol=1e-9, max_iter=5000).fit(design, data.y)
    model = logistic_regression.build().fit(data)
    np.testing.assert_allclose(model.predict(data.X), theirs.predict_proba(design)[:, 1], atol=2e-5)


@pytest.mark.filterwarnings("error")
def test_features_that_say_the_same_are_fitted_without_complaint() -> None:
    data = training_set()
    twice = np.ascontiguousarray(np.hstack([data.X, data.X[:, 1:], data.X[:, 1:] * 60 + 7]))
    names = tuple(f"f{i}" for i in range(twice.shape[1]))
    model = logistic_regression.build().fit(TrainingSet(twice, data.y, names, {"f0": 6}))
    once = logistic_regression.build().fit(data)
    np.testing.assert_allclose(model.predict(twice), once.predict(data.X), atol=5e-3)


def test_rare_codes_share_a_weight() -> None:
    data = training_set()
    model = logistic_regression.build(max_levels=2).fit(data)
    row = [np.nan] * 5
    scores = {model.row_scorer()([float(code), *row[1:]]) for code in (*range(6), UNKNOWN)}
    assert len(scores) == 3


def test_a_large_offset_costs_the_linear_model_nothing() -> None:
    data = training_set(missing=0.0)
    moved = TrainingSet(data.X + np.array([0, 2.0**40, 0, 0, 0]), data.y, data.names, data.categories)
    first, second = (logistic_regression.build().fit(each).predict(each.X) for each in (data, moved))
    np.testing.assert_allclose(first, second, atol=1e-3)


def test_the_rate_table_counts() -> None:
    X = np.array([[0.0, 1.0]] * 6 + [[1.0, 1.0]] * 4)
    y = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    model = rate_table.build(by=["carrier"], smoothing=10).fit(
        TrainingSet(X, y, ("carrier", "hour"), {"carrier": 2})
    )
    scores = model.predict(np.array([[0.0, 9.0], [1.0, np.nan], [UNKNOWN, 1.0], [np.nan, 1.0]]))
    assert scores.tolist() == pytest.approx([(3 + 4) / 16, (1 + 4) / 14, 0.4, 0.4])


def test_the_rate_table_needs_its_features() -> None:
    with pytest.raises(ConfigurationError, match="got feature 'origin'"):
        rate_table.build(by=["carrier", "origin"]).fit(training_set())
    with pytest.raises(ModelError, match="whole numbers"):
        rate_table.build(by=["delay"]).fit(training_set())


@pytest.mark.parametrize(
    ("parameter", "value", "allowed"),
    [("num_leaves", 1, ">= 2"), ("learning_rate", "fast", "float"), ("feature_fraction", 1.5, "<= 1")],
)
def test_a_wrong_value_is_refused_with_what_is_allowed(parameter: str, value: object, allowed: str) -> None:
    with pytest.raises(ConfigurationError, match=f"lightgbm: got {parameter}: .*{allowed}"):
        lightgbm_model.build(**{parameter: value})


def test_the_logistic_function_is_one_function() -> None:
    logits = np.concatenate([np.random.default_rng(0).normal(0, 30, 5000), [0.0, -0.0, 800.0, -800.0, 1e308]])
    scores = sigmoids(logits)
    assert scores.tolist() == [sigmoid(x) for x in logits.tolist()]
    assert ((scores >= 0) & (scores <= 1)).all()
    assert sigmoid(0.0) == 0.5
    assert sigmoid(-745.0) > 0.0
    np.testing.assert_allclose(scores[:5000], 1 / (1 + np.exp(-logits[:5000])), rtol=1e-14)


def test_slots_of_codes() -> None:
    codes = [0.0, 4.0, 5.0, -1.0, -2.0, -3.0, math.nan, 1e300, -1e300, math.inf]
    expected = [0, 4, UNKNOWN, UNKNOWN, MISSING, UNKNOWN, MISSING, UNKNOWN, UNKNOWN, UNKNOWN]
    assert [slot(code, 5) for code in codes] == expected
    assert slots(np.array(codes), 5).tolist() == expected


def test_evenly_spaced_rows_reach_both_ends() -> None:
    assert spaced(10, 10) == slice(None)
    chosen = spaced(1000, 100)
    assert not isinstance(chosen, slice)
    assert (chosen[0], chosen[-1], len(set(chosen.tolist()))) == (0, 999, 100)
